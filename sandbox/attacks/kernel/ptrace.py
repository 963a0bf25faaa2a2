#: {"about": "traces others and reads their memory and descriptors",
#:  "with": ["attack.py"]}
import ctypes
import os
import signal
import time
from attack import attempt, call

buffer = (ctypes.c_char * 64)()
vector = (ctypes.c_uint64 * 2)(ctypes.addressof(buffer), 64)
child = os.fork()
if child == 0:
    time.sleep(30)
    os._exit(0)
for name, pid in (("init", 1), ("parent", os.getppid()), ("child", child)):
    attempt(f"PTRACE_ATTACH {name}", lambda: call(101, 16, pid, 0, 0) == 0)
    attempt(f"PTRACE_SEIZE {name}", lambda: call(101, 0x4206, pid, 0, 0) == 0)
    attempt(f"process_vm_readv {name}", lambda: call(310, pid, vector, 1, vector, 1, 0) >= 0)
    attempt(f"process_vm_writev {name}", lambda: call(311, pid, vector, 1, vector, 1, 0) >= 0)
    attempt(f"pidfd_getfd {name}", lambda: call(438, os.pidfd_open(pid), 0, 0) >= 0)
attempt("PTRACE_TRACEME", lambda: call(101, 0, 0, 0, 0) == 0)
os.kill(child, signal.SIGKILL)
