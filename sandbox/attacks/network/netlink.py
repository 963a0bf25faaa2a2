#: {"about": "opens the kernel's own interfaces: every protocol of netlink but routes",
#:  "with": ["attack.py"]}
import ctypes
import socket
from attack import attempt, call

NAMES = {2: "USERSOCK", 3: "FIREWALL", 4: "SOCK_DIAG", 5: "NFLOG", 6: "XFRM", 7: "SELINUX", 8: "ISCSI", 9: "AUDIT",
         10: "FIB_LOOKUP", 11: "CONNECTOR", 12: "NETFILTER", 13: "IP6_FW", 14: "DNRTMSG", 15: "KOBJECT_UEVENT",
         16: "GENERIC", 18: "SCSITRANSPORT", 19: "ECRYPTFS", 20: "RDMA", 21: "CRYPTO", 22: "SMC"}

for protocol in range(1, 32):
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK):
        attempt(f"netlink {NAMES.get(protocol, protocol)}", lambda: call(41, 16, kind, protocol) > 0)
# What of the words is above 32 bits the kernel does not see, but a filter does.
attempt("netlink GENERIC by a longer family", lambda: call(41, 16 | 1 << 32, 3, 16) > 0)
attempt("netlink GENERIC by a longer protocol", lambda: call(41, 16, 3, 16 | 1 << 32) > 0)
pair = (ctypes.c_int * 2)()
attempt("a pair of netlink", lambda: call(53, 16, 3, 16, pair) == 0)
