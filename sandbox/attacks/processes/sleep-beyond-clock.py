#: {"about": "sleeps for longer than it may run, with all signals ignored",
#:  "request": {"timeoutMs": 700},
#:  "expect": {"reason": "timeout", "withinMs": 3000}}
import signal
import time

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(3600)
