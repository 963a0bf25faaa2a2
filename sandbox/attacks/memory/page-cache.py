#: {"about": "reads and writes files in the home so that they are kept in memory",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 30000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "memory"]}}
import os

path = os.path.expanduser("~/cached")
with open(path, "wb", buffering=0) as file:
    for _ in range(300):
        file.write(b"x" * (1 << 20))
with open(path, "rb", buffering=0) as file:
    while file.read(1 << 20):
        pass
os.unlink(path)
print("blocked: it went through the cache and was let go")
