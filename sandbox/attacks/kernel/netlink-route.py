#: {"about": "changes addresses, routes and devices of its network",
#:  "with": ["attack.py"]}
import fcntl
import socket
import struct
from attack import attempt


def request(kind, payload, flags=0x5):
    channel = socket.socket(16, 3, 0)
    channel.bind((0, 0))
    channel.settimeout(2)
    channel.send(struct.pack("=IHHII", 16 + len(payload), kind, flags | 0x600, 1, 0) + payload)
    answer = channel.recv(65536)
    error = struct.unpack_from("=i", answer, 16)[0]
    if error:
        raise OSError(-error, "refused by the kernel")
    return True


attempt("an address", lambda: request(20, struct.pack("=BBBBI", 2, 8, 0, 0, 1) + struct.pack("=HH4s", 8, 2, bytes([10, 9, 8, 7]))))
attempt("a route", lambda: request(24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("=HHI", 8, 4, 1)))
attempt("a device", lambda: request(16, struct.pack("=BBHiII", 0, 0, 0, 0, 1, 1) + struct.pack("=HH", 20, 18)
                                    + struct.pack("=HH8s", 12, 1, b"dummy\0\0\0")))
for name, number in (("SIOCSIFFLAGS", 0x8914), ("SIOCSIFADDR", 0x8916), ("SIOCADDRT", 0x890B), ("SIOCDELRT", 0x890C)):
    attempt(name, lambda: fcntl.ioctl(socket.socket(), number, struct.pack("16s24s", b"lo", b"")) is not None)
