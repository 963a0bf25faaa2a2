#: {"about":
#:     "replaces its working directory and code while it runs, and plants links before a compiler's output",
#:  "expect": {"lines": "blocked: "}}
import os
import shutil

here = os.getcwd()
os.unlink(os.path.join(here, "main.py"))
for name, target in (("main.py", "/etc/shadow"), ("main", "/etc/shadow"), ("a.out", "/proc/1/mem")):
    os.symlink(target, name)
os.mkfifo("core")
os.chdir("/")
moved = here + ".moved"
try:
    os.rename(here, moved)
    os.symlink("/etc", here)
    print("blocked: it was its own directory")
except OSError as error:
    print("blocked:", error)
