#: {"about": "fills pipes and sockets that nobody reads",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "expect": {"reason": ["exited", "memory"]}}
import fcntl
import os
import socket

held = 0
try:
    while True:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ
        os.set_blocking(writer, False)
        try:
            while True:
                held += os.write(writer, b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as error:
    print("blocked: pipes after", held, error)
sockets = []
try:
    while True:
        left, right = socket.socketpair()
        left.setblocking(False)
        sockets.append((left, right))
        try:
            while True:
                held += left.send(b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as error:
    print("blocked: sockets after", held, error)
