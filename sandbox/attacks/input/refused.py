#: {"about": "closes its input while it is sent",
#:  "request": {"stdin": null, "timeoutMs": 10000},
#:  "input": {"megabytes": 16, "ends": true},
#:  "expect": {"stdout": "closed\n"}}
import os

os.close(0)
print("closed")
