#: {"about": "connects to sockets in the file system and in the abstract namespace",
#:  "with": ["attack.py"]}
import os
import socket
from attack import attempt

names = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket",
         "/run/systemd/private", "/var/run/postgresql/.s.PGSQL.5432", "/run/redis/redis.sock", "/run/snapd.socket"]
try:
    names += [line.split()[-1] for line in open("/proc/net/unix").read().split("\n")[1:] if len(line.split()) == 8]
except OSError:
    pass
for name in dict.fromkeys(names):
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
        address = "\0" + name[1:] if name.startswith("@") else name
        attempt(f"{name} {kind.name}", lambda: socket.socket(socket.AF_UNIX, kind).connect(address) or True)
