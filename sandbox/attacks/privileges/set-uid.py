#: {"about": "plants set-uid and set-gid programs and runs them",
#:  "with": ["attack.py"]}
import os
import shutil
import subprocess
from attack import attempt

for place in (os.path.expanduser("~"), "/tmp", "/dev/shm", "/var/tmp"):
    path = f"{place}/id"
    try:
        shutil.copy("/usr/bin/id", path)
        os.chmod(path, 0o6755)
        before = subprocess.run(["/usr/bin/id", "-u"], capture_output=True, text=True).stdout
        after = subprocess.run([path, "-u"], capture_output=True, text=True).stdout
        print("blocked: set-uid of oneself" if after == before or not after else f"THROUGH: {place} {after}")
    except OSError as error:
        print("blocked:", place, error)
    attempt(f"giving it to root in {place}", lambda: os.chown(path, 0, 0) or True)
