#: {"about": "asks the kernel for another user, groups and capabilities",
#:  "with": ["attack.py"]}
import ctypes
import os
from attack import attempt, call, libc, write

attempt("setuid", lambda: os.setuid(0) or True)
attempt("setresuid", lambda: os.setresuid(0, 0, 0) or True)
attempt("setgid", lambda: os.setgid(0) or True)
attempt("setgroups", lambda: os.setgroups([0]) or True)
attempt("setfsuid", lambda: libc.setfsuid(0) != libc.setfsuid(-1))
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
attempt("capset", lambda: call(126, header, data) == 0)
attempt("an ambient capability", lambda: call(157, 47, 2, 21, 0, 0) == 0)
attempt("no_new_privs away", lambda: call(157, 38, 0, 0, 0, 0) == 0)
attempt("seccomp away", lambda: call(317, 0, 0, None) == 0 and os.setuid(0) is None)
attempt("chroot", lambda: os.chroot("/tmp") or True)
attempt("a real-time priority", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)) or True)
attempt("a better priority", lambda: os.nice(-5) < 0)
attempt("a better score when memory is short", lambda: write("/proc/self/oom_score_adj", "-1000"))
