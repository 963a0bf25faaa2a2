#: {"about": "leaves a listener in the abstract namespace, held by a daemon",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import os
import socket
import sys
import time
from attack import attempt

if sys.argv[1] == "plant":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            server = socket.socket(socket.AF_UNIX)
            server.bind("\0planted")
            server.listen()
            port = socket.create_server(("127.0.0.1", 45454))
            for number in range(3):
                os.close(number)
            time.sleep(600)
        os._exit(0)
    time.sleep(0.2)
    print("blocked: planted")
else:
    attempt("the abstract socket", lambda: socket.socket(socket.AF_UNIX).connect("\0planted") or True)
    attempt("the port", lambda: socket.create_connection(("127.0.0.1", 45454), 1) and True)
    attempt("the list of sockets", lambda: "@planted" in open("/proc/net/unix").read() or None)
