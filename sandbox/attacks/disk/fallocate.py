#: {"about": "reserves more than the disk has",
#:  "request": {"timeoutMs": 60000, "limits": {"outputBytes": 1048576}, "args": ["1048576", "8192"]},
#:  "modes": ["warm"],
#:  "expect": {"lines": "blocked: "}}
import os
import sys

file = os.open(os.path.expanduser("~/reserved"), os.O_CREAT | os.O_RDWR)
for size in (int(megabytes) << 20 for megabytes in sys.argv[1:]):
    try:
        os.posix_fallocate(file, 0, size)
        print("THROUGH:", size)
    except OSError as error:
        print("blocked:", size, error)
