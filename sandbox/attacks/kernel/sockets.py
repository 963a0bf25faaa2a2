#: {"about": "sockets of families and kinds that no program needs",
#:  "with": ["attack.py"]}
import socket
from attack import attempt

for name, family, kind, protocol in (
        ("packet", 17, 3, 3), ("packet, cooked", 17, 2, 3), ("raw", 2, 3, 1), ("raw v6", 10, 3, 58), ("raw, all", 2, 3, 255),
        ("AF_ALG", 38, 5, 0), ("vsock", 40, 1, 0), ("vsock datagrams", 40, 2, 0), ("xdp", 44, 3, 0), ("bluetooth", 31, 3, 1),
        ("can", 29, 3, 1), ("key", 15, 3, 2), ("llc", 26, 1, 0), ("tipc", 30, 1, 0), ("rds", 21, 5, 0), ("x25", 9, 5, 0),
        ("appletalk", 5, 2, 0), ("ax25", 3, 5, 0), ("nfc", 39, 3, 0), ("kcm", 41, 2, 0), ("qipcrtr", 42, 2, 0),
        ("smc", 43, 1, 0), ("mctp", 45, 2, 0), ("rxrpc", 33, 2, 2), ("pppox", 24, 1, 0), ("caif", 37, 1, 0),
        ("ieee802154", 36, 2, 0)):
    attempt(name, lambda: socket.socket(family, kind, protocol) and True)
