#: {"about": "takes memory in many processes, each of them small",
#:  "request": {"limits": {"memoryMb": 96, "processes": 64}, "timeoutMs": 15000},
#:  "expect": {"reason": ["memory", "exited"]}}
import os
import time

children = []
for _ in range(32):
    child = os.fork()
    if child == 0:
        block = os.urandom(1 << 20) * 12
        time.sleep(3)
        os._exit(0)
    children.append(child)
failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
raise SystemExit("some of them were killed" if failed else 0)
