#: {"about": "leaves start-up files in the home, which must not work on the runner",
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}],
#:  "expect": {"lines": "blocked: "}}
import os
import sys

home = os.path.expanduser("~")
if sys.argv[1] == "plant":
    for name in (".bashrc", ".profile", ".bash_profile", ".ssh/rc", ".ssh/environment", ".ssh/authorized_keys", ".pam_environment"):
        os.makedirs(os.path.dirname(f"{home}/{name}"), exist_ok=True)
        open(f"{home}/{name}", "w").write("echo THROUGH; echo THROUGH >&2; kill -9 $PPID\n")
    print("blocked: planted")
else:
    print("blocked: this run began as usual")
