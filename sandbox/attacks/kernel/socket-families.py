#: {"about": "sockets and pairs of every family there is, by number",
#:  "with": ["attack.py"]}
import ctypes
import socket
from attack import attempt, call

pair = (ctypes.c_int * 2)()
for family in list(range(3, 10)) + list(range(11, 16)) + list(range(17, 64)) + [255, 2 | 1 << 32, (1 << 64) - 1]:
    for kind in (1, 2, 3, 4, 5):
        attempt(f"family {family}, kind {kind}", lambda: call(41, family, kind, 0) > 0)
    attempt(f"a pair of family {family}", lambda: call(53, family, 2, 0, pair) == 0)
for family in (2, 10):
    for name, kind, protocol in (
            ("raw ICMP", 3, 1), ("raw", 3, 255), ("raw, closed on exec", 3 | 0o2000000, 58), ("packets", 10, 0),
            ("packets of all kinds", 10, 0x0300), ("RDM", 4, 0), ("SCTP", 1, 132), ("SCTP, many to one", 5, 132),
            ("DCCP", 6, 33), ("UDP-Lite", 2, 136), ("L2TP", 2, 115), ("MPTCP", 1, 262), ("SMC", 1, 256), ("ESP", 3, 50),
            ("IPIP", 3, 4), ("GRE", 3, 47), ("IGMP", 3, 2), ("RSVP", 3, 46)):
        attempt(f"{socket.AddressFamily(family).name}, {name}", lambda: call(41, family, kind, protocol) > 0)
