#: {"about": "connects to runner, sshd, PostgreSQL, Redis, gateway and engine on the loopback",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000}}
import socket
import struct
from attack import attempt


def reach(host, port):
    """A connection that is accepted and closed without a word does not count: whoever listens has refused it."""
    with socket.create_connection((host, port), 0.5) as peer:
        peer.settimeout(0.5)
        try:
            peer.sendall(struct.pack("<BI", 1, 2) + b"{}")
            said = peer.recv(64)
        except socket.timeout:
            return "it listens"
        except ConnectionError:
            return None
        return said or None


for host in ("127.0.0.1", "::1", "0.0.0.0", "127.1.2.3", "::ffff:127.0.0.1", "localhost"):
    for name, port in (("runner", 4611), ("sshd", 22), ("PostgreSQL", 5432), ("Redis", 6379), ("gateway", 4610),
                       ("docker", 2375), ("docker", 2376), ("docker's ssh port", 2222)):
        attempt(f"{name} at {host}", lambda: reach(host, port))
