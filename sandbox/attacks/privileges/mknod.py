#: {"about": "makes devices and opens those there are",
#:  "with": ["attack.py"]}
import os
import stat
from attack import attempt, read

for name, kind, major, minor in (("mem", stat.S_IFCHR, 1, 1), ("sda", stat.S_IFBLK, 8, 0), ("vda", stat.S_IFBLK, 254, 0),
                                 ("kvm", stat.S_IFCHR, 10, 232), ("tty", stat.S_IFCHR, 5, 0)):
    for place in ("/tmp", os.path.expanduser("~")):
        attempt(f"making {name} in {place}",
                lambda: os.mknod(f"{place}/{name}", kind | 0o666, os.makedev(major, minor)) or True)
for path in ("/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/vda", "/dev/sda",
             "/dev/nvme0n1", "/dev/loop0", "/dev/loop-control", "/dev/kmsg", "/dev/vhost-vsock", "/dev/vsock",
             "/dev/uinput", "/dev/userfaultfd", "/dev/mapper/control", "/dev/console", "/dev/snapshot"):
    attempt(f"opening {path}", lambda: os.open(path, os.O_RDWR | os.O_NONBLOCK) > 0)
attempt("reading /dev/mem", lambda: read("/dev/mem"))
