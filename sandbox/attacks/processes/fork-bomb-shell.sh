#: {"about": "the shell's classic",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 3000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["processes", "timeout", "exited", "signaled", "memory"]},
#:  "providers": {"docker": {"watched": true, "because":
#:     "left out: processes of a run are watched there, not held, and what forks faster than they are killed fills the VM",
#:     "steps": []}}}
bomb() { bomb | bomb & }
bomb
wait
