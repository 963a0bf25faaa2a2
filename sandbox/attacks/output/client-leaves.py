#: {"about": "the reader goes away in the middle of a flood",
#:  "request": {"limits": {"outputBytes": 1073741824}, "timeoutMs": 60000},
#:  "leaveAfter": 1048576,
#:  "expect": {"left": true}}
import os
import signal

for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
while True:
    try:
        os.write(1, b"x" * 65536)
    except OSError:
        pass
