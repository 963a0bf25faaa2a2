"""Runs the Python program that comes on a connection in a fork of this process, until it is told to end.

With `--walls` in the namespaces, with the mounts and as the user that a run of Martlet has, made anew for each program.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000  # linux/sched.h
NOSUID, NODEV, NOEXEC, BIND, REC, PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000  # linux/mount.h
USER = 4611

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def build_walls():
    """What has to be there before the program's process is forked."""
    checked(libc.unshare(NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET))
    checked(libc.mount(None, b"/", None, REC | PRIVATE, None))
    checked(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", NOSUID | NODEV, b"mode=0755,size=256m"))
    for part in ("/tmp/shm", "/tmp/vartmp", "/tmp/tmp"):
        os.mkdir(part, 0o1777)
    for source, target in ((b"/tmp/shm", b"/dev/shm"), (b"/tmp/vartmp", b"/var/tmp"), (b"/tmp/tmp", b"/tmp")):
        checked(libc.mount(source, target, None, BIND, None))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def go_inside():
    """Forks the first process of the namespaces, which becomes the program's user. Only that one returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    build_walls()
    if inside := os.fork():
        os.waitpid(inside, 0)
        os._exit(0)
    checked(libc.mount(b"proc", b"/proc", b"proc", NOSUID | NODEV | NOEXEC, b"hidepid=2,gid=0"))
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(128)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        code = b""
        while part := connection.recv(65536):
            code += part
        if "--walls" in sys.argv:
            go_inside()
        os.dup2(connection.fileno(), 1)
        exec(compile(code, "main.py", "exec"), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    connection.close()
