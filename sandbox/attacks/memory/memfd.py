#: {"about": "takes memory as files without a name",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "expect": {"reason": ["memory", "exited"]},
#:  "providers": {"docker": {"watched": true, "because": "what no process maps is seen by the limit of the whole VM only",
#:     "expect": {"reason": ["memory", "exited", "signaled"]}}}}
import os

files = []
while True:
    file = os.memfd_create("x")
    os.write(file, b"x" * (8 << 20))
    files.append(file)
