#: {"about": "looks for a way out: names, addresses, datagrams, multicast",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000, "network": "none"},
#:  "providers": {"ovh": {"because": "runs share the instance's network"}}}
import socket
from attack import attempt

attempt("a name", lambda: socket.getaddrinfo("example.com", 80))
for family, host in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
    for port in (53, 80, 443):
        attempt(f"{host} {port}", lambda: socket.create_connection((host, port), 0.2) and True)
    attempt(f"a datagram to {host}", lambda: socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (host, 53)) and True)
attempt("multicast", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("224.0.0.251", 5353)) and True)
attempt("broadcast", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("255.255.255.255", 67)) and True)
