#: {"about": "sends itself every signal there is",
#:  "sweep": "signals",
#:  "modes": ["warm"]}
import os
import signal
import sys

number = int(sys.argv[1])
if number not in (signal.SIGKILL, signal.SIGSTOP):
    signal.signal(number, signal.SIG_DFL)
os.kill(os.getpid(), number)
print("survived")
