#: {"about": "opens descriptors until there are none",
#:  "with": ["attack.py"],
#:  "request": {"timeoutMs": 20000}}
import os
import resource
import socket

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard * 2, hard * 2))
    print("THROUGH: more descriptors than allowed")
except (OSError, ValueError) as error:
    print(f"blocked: a higher limit: {error}")
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for kind, make in (("files", lambda: [os.open("/dev/null", os.O_RDONLY)]), ("pipes", lambda: list(os.pipe())),
                   ("pairs", lambda: [one.detach() for one in socket.socketpair()])):
    opened = []
    try:
        while len(opened) < 1_000_000:
            opened += make()
        print(f"THROUGH: {len(opened)} {kind}")
    except OSError as error:
        print(f"blocked: {kind} after {len(opened)}: {error}")
    for one in opened:
        os.close(one)
