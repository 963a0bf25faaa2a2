#: {"about": "writes a million times one byte",
#:  "request": {"timeoutMs": 30000},
#:  "modes": ["warm"],
#:  "expect": {"exitCode": 0, "bytes": 1000000}}
import os

for _ in range(1_000_000):
    os.write(1, b"x")
