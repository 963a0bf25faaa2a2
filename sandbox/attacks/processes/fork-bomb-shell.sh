#: {"about": "the shell's classic",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 3000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["processes", "timeout", "exited", "signaled", "memory"]}}
bomb() { bomb | bomb & }
bomb
wait
