#: {"about": "closes its output and goes on",
#:  "expect": {"exitCode": 3, "withinMs": 6000}}
import os
import time

os.write(1, b"a word\n")
os.close(1)
os.close(2)
time.sleep(0.2)
os._exit(3)
