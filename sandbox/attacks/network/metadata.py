#: {"about": "asks for what clouds tell their machines, over v4 and v6",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000}}
import socket
from attack import attempt

for host, port in (("169.254.169.254", 80), ("169.254.170.2", 80), ("100.100.100.200", 80), ("192.0.0.192", 80),
                   ("fd00:ec2::254", 80), ("fe80::a9fe:a9fe", 80), ("::ffff:169.254.169.254", 80),
                   ("64:ff9b::a9fe:a9fe", 80), ("0xa9fea9fe", 80), ("metadata.google.internal", 80)):
    attempt(f"{host}", lambda: socket.create_connection((host, port), 0.4) and True)
