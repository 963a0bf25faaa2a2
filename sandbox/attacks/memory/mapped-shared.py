#: {"about": "takes shared memory that belongs to no file",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "expect": {"reason": ["memory", "exited"]}}
import mmap

blocks = []
while True:
    block = mmap.mmap(-1, 8 << 20)
    for at in range(0, 8 << 20, 4096):
        block[at] = 1
    blocks.append(block)
