#: {"about": "fills the disk with one file",
#:  "request": {"timeoutMs": 60000, "limits": {"outputBytes": 1048576}, "args": ["4096"]},
#:  "modes": ["warm"],
#:  "expect": {"lines": "blocked: "}}
import os
import sys

path = os.path.expanduser("~/full")
try:
    with open(path, "wb", buffering=0) as file:
        for _ in range(int(sys.argv[1])):
            if file.write(b"x" * (1 << 20)) < 1 << 20:
                raise OSError("a short write")
    print(f"THROUGH: {sys.argv[1]} MB written")
except OSError as error:
    print(f"blocked: after {os.path.getsize(path) >> 20} MB: {error}")
