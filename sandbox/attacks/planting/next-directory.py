#: {"about": "guesses where the next run will live and makes it a link, a pipe or a file",
#:  "with": ["attack.py", "next.txt"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import os
import sys
from attack import attempt

if sys.argv[1] == "plant":
    for number in range(300):
        for name in (f"/tmp/martlet-run-{number:06d}", f"/tmp/run{number}", f"/var/tmp/martlet-{number}"):
            try:
                os.symlink("/etc", name)
            except OSError:
                pass
    for name in ("/tmp/run/main.py", "/tmp/main.py", "/tmp/run/a"):
        try:
            os.mkfifo(name)
        except OSError:
            pass
    print("blocked: planted")
else:
    attempt("files of this run", lambda: open("next.txt").read() != "content\n" or None)
