#: {"about": "connects to private ranges, other VMs and the machine itself",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000}}
import socket
import struct
from attack import attempt


def gateways():
    for line in open("/proc/net/route").read().split("\n")[1:]:
        fields = line.split()
        if len(fields) > 2:
            yield socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
            net = struct.unpack(">I", socket.inet_aton(socket.inet_ntoa(struct.pack("<I", int(fields[1], 16)))))[0]
            for host in (1, 2, 3):
                yield socket.inet_ntoa(struct.pack(">I", net + host))


for host in sorted({"10.0.0.1", "10.213.0.1", "172.17.0.1", "192.168.0.1", "192.168.1.1", "100.64.0.1", "fd00::1",
                    *gateways()} - {"0.0.0.0"}):
    for port in (22, 80, 5432, 6379, 4610, 2375):
        attempt(f"{host} {port}", lambda: socket.create_connection((host, port), 0.15) and True)
