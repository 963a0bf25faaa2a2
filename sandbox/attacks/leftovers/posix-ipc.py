#: {"about": "leaves POSIX memory, semaphores and queues",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import ctypes
import os
import sys
from attack import attempt, call

if sys.argv[1] == "plant":
    for name in ("planted", "sem.planted"):
        try:
            open(f"/dev/shm/{name}", "w").write("x")
            print("blocked: planted", name)
        except OSError as error:
            print("blocked:", name, error)
    attributes = (ctypes.c_long * 8)(0, 4, 64, 0)
    try:
        call(240, b"planted", os.O_CREAT | os.O_RDWR, 0o666, attributes)
        print("blocked: planted a queue")
    except OSError as error:
        print("blocked: a queue:", error)
else:
    for name in ("planted", "sem.planted"):
        attempt(name, lambda: os.path.exists(f"/dev/shm/{name}") or None)
    attempt("a queue", lambda: call(240, b"planted", os.O_RDWR, 0, None) >= 0)
