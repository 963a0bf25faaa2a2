#: {"about": "leaves System V memory, queues and semaphores",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import ctypes
import sys
from attack import attempt, call, libc

KEY = 0x4D41524C
MODE = 0o666 | 0o1000 if sys.argv[1] == "plant" else 0
if sys.argv[1] == "plant":
    for name, deed in (("memory", lambda: call(29, KEY, 1 << 20, MODE)), ("a queue", lambda: call(68, KEY, MODE)),
                       ("semaphores", lambda: call(64, KEY, 4, MODE))):
        try:
            deed()
            print("blocked: planted", name)
        except OSError as error:
            print("blocked:", name, error)
else:
    attempt("memory", lambda: call(29, KEY, 1, MODE) >= 0)
    attempt("a queue", lambda: call(68, KEY, MODE) >= 0)
    attempt("semaphores", lambda: call(64, KEY, 0, MODE) >= 0)
for file in ("shm", "msg", "sem"):
    lines = open(f"/proc/sysvipc/{file}").read().strip().split("\n")[1:]
    if sys.argv[1] == "look":
        attempt(f"/proc/sysvipc/{file}", lambda: lines or None)
