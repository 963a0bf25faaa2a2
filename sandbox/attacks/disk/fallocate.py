#: {"about": "reserves more than the disk has",
#:  "request": {"timeoutMs": 60000, "limits": {"outputBytes": 1048576}},
#:  "modes": ["warm"],
#:  "expect": {"lines": "blocked: "}}
import os

file = os.open(os.path.expanduser("~/reserved"), os.O_CREAT | os.O_RDWR)
for size in (1 << 40, 8 << 30):
    try:
        os.posix_fallocate(file, 0, size)
        print("THROUGH:", size)
    except OSError as error:
        print("blocked:", size, error)
