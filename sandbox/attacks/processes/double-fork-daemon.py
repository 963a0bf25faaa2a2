#: {"about": "a daemon in a session of its own",
#:  "expect": {"stdout": "gone\n", "withinMs": 4000}}
import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in range(3):
            os.close(descriptor)
        while True:
            time.sleep(60)
    os._exit(0)
os.wait()
print("gone")
