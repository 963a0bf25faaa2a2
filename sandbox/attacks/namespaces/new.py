#: {"about": "makes namespaces by unshare, clone and clone3, and enters others'",
#:  "with": ["attack.py"]}
import ctypes
import os
from attack import attempt, call

FLAGS = {"user": 0x10000000, "mount": 0x00020000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000,
         "uts": 0x04000000, "cgroup": 0x02000000, "time": 0x00000080}


def by_clone(flag):
    child = call(56, flag | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


def by_clone3(flag):
    arguments = (ctypes.c_uint64 * 11)(flag, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0)
    child = call(435, arguments, 88)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True


for name, flag in FLAGS.items():
    attempt(f"unshare {name}", lambda: call(272, flag) == 0)
    if name != "time":
        attempt(f"clone {name}", lambda: by_clone(flag))
    attempt(f"clone3 {name}", lambda: by_clone3(flag))
    attempt(f"unshare user and {name}", lambda: call(272, flag | FLAGS["user"]) == 0)
for pid in ["1", "self", str(os.getppid())]:
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
        attempt(f"setns {pid} {kind}", lambda: call(308, os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY), 0) == 0)
