#: {"about": "fills the disk with one file",
#:  "request": {"timeoutMs": 60000, "limits": {"outputBytes": 1048576}},
#:  "modes": ["warm"],
#:  "expect": {"lines": "blocked: "}}
import os

path = os.path.expanduser("~/full")
try:
    with open(path, "wb", buffering=0) as file:
        for _ in range(4096):
            if file.write(b"x" * (1 << 20)) < 1 << 20:
                raise OSError("a short write")
    print("THROUGH: 4 GB written")
except OSError as error:
    print(f"blocked: after {os.path.getsize(path) >> 20} MB: {error}")
