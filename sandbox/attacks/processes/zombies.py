#: {"about": "leaves 100,000 children that nobody waits for",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 20000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["processes", "exited", "timeout", "signaled"]},
#:  "providers": {"docker": {"watched": true, "because":
#:     "left out: processes of a run are watched there, not held, and what forks faster than they are killed fills the VM",
#:     "steps": []}}}
import os

left = 0
while left < 100_000:
    try:
        if os.fork() == 0:
            os._exit(0)
        left += 1
    except OSError:
        raise SystemExit("no more of them")
