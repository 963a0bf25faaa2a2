#: {"about": "reads an input that never ends",
#:  "request": {"stdin": null, "timeoutMs": 700},
#:  "expect": {"reason": "timeout", "withinMs": 3000}}
import sys

sys.stdin.read()
