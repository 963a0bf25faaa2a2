#: {"about": "kills the runner, its init and sshd",
#:  "with": ["attack.py"]}
import os
import signal
from attack import attempt

found = []
for name in os.listdir("/proc"):
    if not name.isdigit():
        continue
    try:
        command = open(f"/proc/{name}/comm").read().strip()
    except OSError:
        continue
    if command.startswith(("martlet", "sshd", "docker-init", "tini")):
        found.append((command, int(name)))
for command, number in found + [("init", 1)]:
    for which in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGHUP):
        attempt(f"{which.name} to {command}", lambda: os.kill(number, which) or number != 1 or None)
