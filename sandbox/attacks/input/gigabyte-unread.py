#: {"about": "is sent 1 GB that it does not read",
#:  "request": {"stdin": null, "timeoutMs": 1500},
#:  "input": {"megabytes": 1024, "ends": true},
#:  "modes": ["warm"],
#:  "expect": {"reason": "timeout", "withinMs": 4000}}
import time

time.sleep(60)
