#: {"about": "locks memory so that it can never leave",
#:  "with": ["attack.py"]}
from attack import attempt, call

attempt("locking everything", lambda: call(151, 3) == 0)
attempt("locking 64 MB", lambda: call(9, 0, 64 << 20, 3, 0x22 | 0x2000, -1, 0) and call(149, call(9, 0, 64 << 20, 3, 0x22, -1, 0), 64 << 20) == 0)
