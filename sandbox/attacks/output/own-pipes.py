#: {"about": "reopens its own streams, takes them away from the runner's end and resizes them",
#:  "expect": {"exitCode": 0, "contains": "still here"}}
import fcntl
import os

for number in (0, 1, 2):
    for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY):
        try:
            again = os.open(f"/proc/self/fd/{number}", flags | os.O_NONBLOCK)
            fcntl.fcntl(again, 1031, 4096)
            fcntl.fcntl(again, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
            fcntl.fcntl(again, fcntl.F_SETOWN, 1)
            os.close(again)
        except OSError:
            pass
fcntl.fcntl(1, fcntl.F_SETFL, 0)
print("still here")
