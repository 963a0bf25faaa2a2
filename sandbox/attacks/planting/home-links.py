#: {"about": "makes of the home's parts links, pipes and devices that whoever opens them would wait at",
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"], "files": [{"path": "data/in.txt",
#:     "content": "content"}]}}],
#:  "expect": {"lines": "blocked: "}}
import os
import sys

home = os.path.expanduser("~")
if sys.argv[1] == "plant":
    for name, target in (("main.py", "/etc/passwd"), ("data", "/etc"), (".cache", "/"), (".local", "/proc/self"),
                         ("run", "/tmp")):
        try:
            os.symlink(target, f"{home}/{name}")
        except OSError:
            pass
    os.mkfifo(f"{home}/stdin")
    print("blocked: planted")
else:
    print("blocked: as usual" if open("data/in.txt").read() == "content" else "THROUGH")
