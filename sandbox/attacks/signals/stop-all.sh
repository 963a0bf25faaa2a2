#: {"about": "stops its whole process group",
#:  "request": {"timeoutMs": 1000},
#:  "expect": {"reason": "timeout", "withinMs": 3500}}
kill -STOP 0
