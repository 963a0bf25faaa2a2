#: {"about": "makes 4,000 orphans for whoever is init to wait for",
#:  "request": {"timeoutMs": 30000, "limits": {"processes": 64}},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "processes"], "withinMs": 32000},
#:  "providers": {"docker": {"watched": true, "because":
#:     "left out: processes of a run are watched there, not held, and what forks faster than they are killed fills the VM",
#:     "steps": []}}}
import os
import time

made = 0
while made < 4_000:
    try:
        child = os.fork()
        if child == 0:
            for _ in range(20):
                try:
                    if os.fork() == 0:
                        os._exit(0)
                except OSError:
                    break
            os._exit(0)
        os.waitpid(child, 0)
        made += 20
    except OSError:
        time.sleep(0.001)
