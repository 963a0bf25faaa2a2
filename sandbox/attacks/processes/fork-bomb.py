#: {"about": "forks without end",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 2500},
#:  "expect": {"reason": ["processes", "timeout", "exited", "signaled", "memory"]}}
import os

while True:
    try:
        os.fork()
    except OSError:
        pass
