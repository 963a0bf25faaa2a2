#: {"about": "fills what of the file system lies in memory",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "expect": {"reason": ["memory", "exited"]},
#:  "providers": {"docker": {"watched": true, "because": "what no process maps is seen by the limit of the whole VM only",
#:     "expect": {"reason": ["memory", "exited", "signaled"]}}}}
blocked = 0
for place in ("/tmp", "/var/tmp", "/dev/shm"):
    try:
        with open(f"{place}/bomb", "wb", buffering=0) as file:
            for _ in range(4096):
                if file.write(b"x" * (1 << 20)) < 1 << 20:
                    raise OSError("short")
        print("THROUGH: 4 GB in", place)
    except OSError as error:
        blocked += 1
        print("blocked:", place, error)
