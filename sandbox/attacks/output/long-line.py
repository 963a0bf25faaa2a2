#: {"about": "prints a line of 1 GB, of which as much comes as is allowed",
#:  "request": {"limits": {"outputBytes": 8388608}, "timeoutMs": 30000},
#:  "modes": ["warm"],
#:  "expect": {"reason": "output_limit", "bytes": 8388608}}
import os

block = b"x" * (1 << 20)
for _ in range(1 << 10):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view):]
