#: {"about": "forks without end",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 2500},
#:  "expect": {"reason": ["processes", "timeout", "exited", "signaled", "memory"]},
#:  "providers": {"docker": {"watched": true, "because":
#:     "left out: processes of a run are watched there, not held, and what forks faster than they are killed fills the VM",
#:     "steps": []}}}
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
