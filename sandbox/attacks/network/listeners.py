#: {"about": "connects to whatever listens anywhere, by the kernel's own list",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000}}
import socket
import struct
from attack import attempt


def reach(family, host, port):
    with socket.socket(family) as peer:
        peer.settimeout(0.5)
        peer.connect((host, port))
        try:
            peer.sendall(struct.pack("<BI", 1, 2) + b"{}")
            return peer.recv(64) or None
        except socket.timeout:
            return "it listens"
        except ConnectionError:
            return None


found = set()
for path, family, home in (("/proc/net/tcp", socket.AF_INET, "127.0.0.1"), ("/proc/net/tcp6", socket.AF_INET6, "::1")):
    try:
        lines = open(path).read().split("\n")[1:]
    except OSError:
        continue
    for line in lines:
        fields = line.split()
        if len(fields) > 3 and fields[3] == "0A":
            address, port = fields[1].split(":")
            host = socket.inet_ntoa(struct.pack("<I", int(address, 16))) if family == socket.AF_INET else home
            found.add((family, home if host == "0.0.0.0" else host, int(port, 16)))
for family, host, port in sorted(found):
    attempt(f"{host} {port}", lambda: reach(family, host, port))
if not found:
    print("blocked: nothing listens")
