#: {"about": "reads an input of 256 MB",
#:  "request": {"stdin": null, "timeoutMs": 60000},
#:  "input": {"megabytes": 256, "ends": true},
#:  "modes": ["warm"],
#:  "expect": {"stdout": "268435456\n"}}
import os

total = 0
while piece := os.read(0, 1 << 20):
    total += len(piece)
print(total)
