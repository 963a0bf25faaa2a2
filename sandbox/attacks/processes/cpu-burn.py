#: {"about": "burns processor time in every process it may have",
#:  "request": {"limits": {"cpuMs": 800, "processes": 16}, "timeoutMs": 60000},
#:  "expect": {"reason": ["timeout"], "cpuWithinMs": 3000}}
import os

for _ in range(3):
    os.fork()
while True:
    pass
