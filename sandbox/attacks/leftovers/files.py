#: {"about": "leaves files for the next run in every place that it can write to",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import os
import sys
from attack import attempt

PLACES = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock", "/run/user", "/var/lock", "/run/sshd", "/var/crash",
          "/var/spool", "/var/mail", "/dev/mqueue", "/dev/pts", "/run/martlet", "/"]
for place in PLACES:
    path = f"{place}/planted"
    if sys.argv[1] == "plant":
        try:
            os.makedirs(f"{path}/deep/er", exist_ok=True)
            open(f"{path}/deep/secret", "w").write("secret")
            os.symlink("/etc/passwd", f"{path}/link")
            os.mkfifo(f"{path}/fifo")
            os.chmod(f"{path}/deep", 0)
            os.chmod(path, 0o555)
            print("blocked: planted in", place)
        except OSError as error:
            print("blocked:", place, error)
    else:
        attempt(f"{path}", lambda: os.path.lexists(path) or None)
if sys.argv[1] == "look":
    for place in ("/tmp", "/var/tmp", "/dev/shm"):
        attempt(f"things in {place}", lambda: [
            one for one in os.listdir(place) if one != "run"
            and os.lstat(f"{place}/{one}").st_uid == os.getuid()] or None)
