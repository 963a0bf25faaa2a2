#: {"about": "listens where the runner or sshd does, for what is meant for them",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000},
#:  "steps": [{"request": {"args": ["take"]}}, {"request": {"args": ["again"]}}],
#:  "expect": {"lines": "blocked: "}}
import os
import socket
import time

low = open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read().strip()
for port in (22, 4611):
    for host in ("127.0.0.1", "0.0.0.0", "127.0.0.2"):
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            server.bind((host, port))
            server.listen()
        except OSError as error:
            print(f"blocked: {host} {port}: {error}")
            continue
        server.settimeout(0.3)
        try:
            server.accept()
            print(f"THROUGH: somebody came to {host} {port}")
        except OSError:
            print(f"blocked: nobody comes to {host} {port}")
