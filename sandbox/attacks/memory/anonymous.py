#: {"about": "takes memory without end",
#:  "request": {"limits": {"memoryMb": 96}, "timeoutMs": 15000},
#:  "expect": {"reason": ["memory", "exited"], "exitCode": null}}
blocks = []
while True:
    blocks.append(b"x" * (1 << 20))
