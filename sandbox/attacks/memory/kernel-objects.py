#: {"about": "has the kernel keep as much as it will: timers, watches, locks, queued signals, descriptors in flight, maps",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 30000},
#:  "expect": {"reason": ["exited", "memory", "timeout"]}}
import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)
MOST = 2_000_000


def until_refused(name, deed):
    made = 0
    try:
        while made < MOST:
            if deed(made) is False:
                raise OSError(ctypes.get_errno(), "refused")
            made += 1
        print("blocked: no limit of its own, and the memory sufficed:", name, flush=True)
    except (OSError, ValueError, OverflowError) as error:
        print("blocked:", name, "after", made, error, flush=True)


timer = ctypes.c_void_p()
until_refused("timers", lambda _: libc.timer_create(0, None, ctypes.byref(timer)) == 0)
watcher = libc.inotify_init1(0)
until_refused("watchers", lambda _: libc.inotify_init1(0) >= 0)
for number in range(3, 4096):
    try:
        os.close(number)
    except OSError:
        pass
place = os.environ.get("TMPDIR", "/tmp")
file = os.open(f"{place}/locked", os.O_CREAT | os.O_RDWR)
until_refused("locks", lambda at: fcntl.fcntl(file, fcntl.F_SETLK, struct.pack("hhqqi", 1, 0, 2 * at, 1, 0)) is not None
              if at < 4_000 else False)  # each is looked for among all
os.close(file)
signal.pthread_sigmask(signal.SIG_BLOCK, range(32, 65))
value = ctypes.c_long(0)
until_refused("signals", lambda _: libc.sigqueue(os.getpid(), 40, value) == 0)
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
left.setblocking(False)
until_refused("descriptors in flight", lambda _: left.sendmsg(
    [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", left.fileno()) * 253)]) > 0)
maps = []
until_refused("maps", lambda at: maps.append(mmap.mmap(-1, 4096, prot=1 + at % 2)) is None)
del maps
keep = []
until_refused("epolls", lambda _: keep.append(select.epoll()) is None)
