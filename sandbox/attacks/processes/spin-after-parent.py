#: {"about": "leaves a child that spins and exits",
#:  "expect": {"exitCode": 0, "withinMs": 4000}}
import os

for _ in range(4):
    if os.fork() == 0:
        while True:
            pass
