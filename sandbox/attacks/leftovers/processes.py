#: {"about": "leaves processes in every way there is",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}],
#:  "request": {"timeoutMs": 15000},
#:  "providers": {"docker": {"watched": true, "because":
#:     "left out: processes of a run are watched there, not held, and what forks faster than they are killed fills the VM",
#:     "steps": []}}}
import os
import signal
import sys
import time
from attack import attempt

if sys.argv[1] == "plant":
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    for _ in range(6):
        if os.fork() == 0:
            os.setsid()
            for _ in range(3):
                if os.fork():
                    os._exit(0)
                os.setsid()
            open("/proc/self/comm", "w").write("planted")
            for number in range(3):
                os.close(number)
            while True:
                if os.fork():
                    os._exit(0)  # another number all the time
                time.sleep(0.002)
    time.sleep(0.3)
    print("blocked: planted")
else:
    time.sleep(0.1)
    names = []
    for name in os.listdir("/proc"):
        try:
            names.append(open(f"/proc/{name}/comm").read().strip()) if name.isdigit() else None
        except OSError:
            pass
    attempt("a process of the run before", lambda: "planted" in names or None)
