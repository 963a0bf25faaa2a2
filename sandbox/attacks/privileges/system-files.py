#: {"about": "writes where only the system may",
#:  "with": ["attack.py"]}
import os
from attack import attempt

for place in ("/", "/usr", "/usr/bin", "/etc", "/opt/martlet", "/opt/martlet/runtimes", "/root", "/var", "/boot", "/lib",
              "/sbin", "/home", "/run", "/run/sshd", "/run/martlet", "/var/run", "/var/lib", "/sys", "/dev"):
    attempt(f"a file in {place}", lambda: open(f"{place}/planted", "w").write("x"))
for path in ("/etc/passwd", "/etc/shadow", "/etc/ld.so.preload", "/etc/martlet/runner.json", "/etc/martlet/sshd_config",
             "/etc/martlet/authorized_keys", "/etc/ssh/sshd_config", "/opt/martlet/martlet-runner", "/etc/hosts",
             "/etc/resolv.conf", "/usr/bin/python3", "/etc/crontab"):
    attempt(f"writing {path}", lambda: os.open(path, os.O_WRONLY | os.O_APPEND) > 0)
    attempt(f"renaming {path}", lambda: os.rename(path, path + ".old") or True)
