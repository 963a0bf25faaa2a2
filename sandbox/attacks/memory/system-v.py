#: {"about": "takes memory and queues that stay when nobody uses them",
#:  "with": ["attack.py"],
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "steps": [{"request": {"args": ["take"]}, "expect": {"reason": "memory"}}, {"request": {"args": ["look"]}}],
#:  "providers": {"docker": {"because": "what no process maps is seen by the limit of the whole VM only", "steps":
#:     [{"request": {"args": ["take"]}, "expect": {"reason": ["exited", "memory", "signaled"]}}, {"request": {"args":
#:     ["look"]}}]}}}
import ctypes
import sys
from attack import call, libc

libc.shmat.restype = ctypes.c_void_p
if sys.argv[1] == "take":
    held = 0
    try:
        while held < 1 << 30:
            part = call(29, 0, 8 << 20, 0o1666)
            place = libc.shmat(ctypes.c_int(part), None, 0)
            ctypes.memset(place, 1, 8 << 20)
            libc.shmdt(ctypes.c_void_p(place))
            held += 8 << 20
        print("THROUGH: a GB", flush=True)
    except (OSError, ValueError, TypeError) as error:
        print("blocked: memory after", held, error, flush=True)
    queues = 0
    try:
        while queues < 100_000:
            queue = call(68, 0, 0o1666)
            message = (ctypes.c_char * 8200)()
            ctypes.c_long.from_buffer(message).value = 1
            try:
                while True:
                    call(69, queue, message, 8000, 0o4000)
            except BlockingIOError:
                pass
            queues += 1
        print("THROUGH: queues", flush=True)
    except OSError as error:
        print("blocked: queues after", queues, error, flush=True)
else:
    for file in ("shm", "msg", "sem"):
        lines = open(f"/proc/sysvipc/{file}").read().strip().split("\n")[1:]
        print(f"THROUGH: {len(lines)} in {file}" if lines else f"blocked: nothing in {file}")
