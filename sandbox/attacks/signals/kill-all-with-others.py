#: {"about": "kills every process it may, by number and at once",
#:  "expect": {"reason": ["signaled", "exited"]}}
import os
import signal

for _ in range(50):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            for number in (signal.SIGSTOP, signal.SIGKILL):
                try:
                    os.kill(int(name), number)
                except OSError:
                    pass
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
