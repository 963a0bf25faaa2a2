#: {"about": "looks for words of the runner and of other runs in command lines",
#:  "with": ["attack.py"]}
import glob
from attack import attempt, read

attempt("init's words", lambda: read("/proc/1/cmdline") if b"martlet-runner" in read("/proc/1/cmdline") and b"secret" in
        read("/proc/1/cmdline") else None)
for path in glob.glob("/proc/[0-9]*/cmdline"):
    attempt(path, lambda: b"secret" in read(path) or b"BEGIN" in read(path) or None)
