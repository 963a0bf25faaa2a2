#: {"about": "calls that widely used escapes began with",
#:  "with": ["attack.py"]}
import ctypes
import os
from attack import attempt, call

buffer = (ctypes.c_char * 4096)()
attempt("io_uring_setup", lambda: call(425, 8, buffer) >= 0)
attempt("io_uring_enter", lambda: call(426, 0, 1, 0, 0, None, 0) >= 0)
attempt("io_uring_register", lambda: call(427, -1, 0, None, 0) >= 0)
attempt("bpf, a map", lambda: call(321, 0, (ctypes.c_uint32 * 18)(1, 4, 4, 1), 72) >= 0)
attempt("bpf, a program", lambda: call(321, 5, buffer, 72) >= 0)
event = (ctypes.c_char * 128)()
ctypes.c_uint32.from_buffer(event).value = 1
ctypes.c_uint32.from_buffer(event, 4).value = 128
attempt("perf_event_open", lambda: call(298, event, 0, -1, -1, 0) >= 0)
attempt("userfaultfd", lambda: call(323, 0) >= 0)
attempt("userfaultfd for itself only", lambda: call(323, 1) >= 0)
attempt("kexec_load", lambda: call(246, 0, 0, None, 0) == 0)
attempt("kexec_file_load", lambda: call(320, 0, 0, 0, b"", 0) == 0)
attempt("init_module", lambda: call(175, buffer, 4096, b"") == 0)
attempt("finit_module", lambda: call(313, 0, b"", 0) == 0)
attempt("delete_module", lambda: call(176, b"x", 0) == 0)
attempt("reboot", lambda: call(169, 0xFEE1DEAD, 672274793, 0x89ABCDEF, None) == 0)
attempt("acct", lambda: call(163, b"/tmp/acct") == 0)
attempt("iopl", lambda: call(172, 3) == 0)
attempt("ioperm", lambda: call(173, 0, 1, 1) == 0)
attempt("sethostname", lambda: call(170, b"x", 1) == 0)
attempt("setdomainname", lambda: call(171, b"x", 1) == 0)
attempt("vhangup", lambda: call(153) == 0)
attempt("fanotify_init", lambda: call(300, 0, 0) >= 0)
attempt("lookup_dcookie", lambda: call(212, 0, buffer, 10) >= 0)
attempt("kcmp", lambda: call(312, os.getpid(), 1, 1, 0, 0) >= 0)
attempt("process_madvise", lambda: call(440, -1, None, 0, 0, 0) >= 0)
attempt("move_pages", lambda: call(279, 1, 0, None, None, None, 0) == 0)
attempt("migrate_pages", lambda: call(256, 1, 1, buffer, buffer) >= 0)
attempt("memfd_secret", lambda: call(447, 1 << 20) >= 0)
attempt("landlock escapes nothing", lambda: os.setuid(0) or True)
attempt("a new pty's injected keys", lambda: __import__("fcntl").ioctl(0, 0x5412, b"x") == 0)
