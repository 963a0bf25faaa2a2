#: {"about": "prints without end on both streams",
#:  "request": {"limits": {"outputBytes": 2097152}, "timeoutMs": 15000},
#:  "expect": {"reason": "output_limit"}}
import os

block = b"x" * 65536
while True:
    os.write(1, block)
    os.write(2, block)
