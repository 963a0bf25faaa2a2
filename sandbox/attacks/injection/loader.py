#: {"about": "variables that change what a program is before it is one",
#:  "request": {"env": {"LD_PRELOAD": "/tmp/x.so", "LD_LIBRARY_PATH": "/tmp", "LD_AUDIT": "/tmp/x.so",
#:     "BASH_ENV": "/tmp/x.sh", "ENV": "/tmp/x.sh", "PYTHONSTARTUP": "/tmp/x.py", "PYTHONINSPECT": "1",
#:     "PYTHONHOME": "", "PERL5OPT": "-Mx", "NODE_OPTIONS": "--require /tmp/x", "GCONV_PATH": "/tmp",
#:     "MALLOC_CHECK_": "3", "GLIBC_TUNABLES": "glibc.malloc.check=3", "HOSTALIASES": "/tmp/x", "LOCALDOMAIN":
#:     "x", "IFS": "x"}},
#:  "expect": {"lines": "blocked: "}}
import os

uid = os.getuid()
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().strip().split("\n") if ":\t" in line)
print("blocked: still nobody" if uid and status["NoNewPrivs"] == "1" and int(status["CapEff"], 16) == 0
      and status["Seccomp"] == "2" else "THROUGH")
