#: {"about": "mounts, unmounts, moves roots, by old calls and new",
#:  "with": ["attack.py"]}
import os
import subprocess
from attack import attempt, call, libc

os.makedirs("/tmp/m", exist_ok=True)
for what, arguments in (("tmpfs", (b"x", b"/tmp/m", b"tmpfs", 0, None)), ("proc", (b"x", b"/tmp/m", b"proc", 0, None)),
                        ("sysfs", (b"x", b"/tmp/m", b"sysfs", 0, None)), ("bind", (b"/", b"/tmp/m", None, 4096, None)),
                        ("a remount", (None, b"/", None, 32, None)), ("fuse", (b"x", b"/tmp/m", b"fuse", 0, b"fd=0")),
                        ("overlay", (b"x", b"/tmp/m", b"overlay", 0, b"lowerdir=/usr")),
                        ("cgroup", (b"x", b"/tmp/m", b"cgroup", 0, b"memory"))):
    attempt(f"mounting {what}", lambda: call(165, *arguments) == 0)
for path in ("/", "/proc", "/tmp", "/dev/shm", "/home/martlet", "/sys"):
    attempt(f"unmounting {path}", lambda: call(166, path.encode(), 2) == 0)
attempt("pivot_root", lambda: call(155, b"/tmp", b"/tmp/m") == 0)
attempt("chroot", lambda: os.chroot("/tmp") or True)
attempt("fsopen", lambda: call(430, b"tmpfs", 0) >= 0)
attempt("open_tree", lambda: call(428, -100, b"/", 1) >= 0)
attempt("move_mount", lambda: call(429, -100, b"/tmp/m", -100, b"/tmp", 0) == 0)
attempt("fspick", lambda: call(433, -100, b"/", 0) >= 0)
attempt("mount_setattr", lambda: call(442, -100, b"/", 0, b"\0" * 32, 32) == 0)
attempt("swapon", lambda: call(167, b"/tmp/m", 0) == 0)
attempt("quotactl", lambda: call(179, 0x80000200, b"/dev/vda", 0, None) == 0)
