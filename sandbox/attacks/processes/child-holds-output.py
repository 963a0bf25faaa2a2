#: {"about": "a child keeps standard output open after the program's end",
#:  "expect": {"stdout": "parent\n", "withinMs": 4000}}
import os
import sys
import time

if os.fork() == 0:
    time.sleep(600)
print("parent")
sys.stdout.flush()
os._exit(0)
