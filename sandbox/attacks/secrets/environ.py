#: {"about": "reads variables, memory and files of init and of other processes",
#:  "with": ["attack.py"]}
import os
from attack import attempt, read

own = {os.getpid()}
for name in ["1", str(os.getppid())] + [one for one in os.listdir("/proc") if one.isdigit() and int(one) not in own]:
    for file in ("environ", "mem", "maps", "auxv", "stack", "syscall", "fdinfo/0", "root/etc/martlet/runner.json",
                 "cwd/main.py", "map_files"):
        attempt(f"/proc/{name}/{file}", lambda: read(f"/proc/{name}/{file}") or None)
    for link in ("root", "exe", "fd/0", "fd/3", "cwd"):
        attempt(f"/proc/{name}/{link}", lambda: os.readlink(f"/proc/{name}/{link}"))
