#: {"about": "leaves keys for the next run, and looks for those of others",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}]}
import sys
from attack import attempt, call

KEYRINGS = {"thread": -1, "process": -2, "session": -3, "user": -4, "user session": -5}
if sys.argv[1] == "plant":
    for name, ring in KEYRINGS.items():
        attempt(f"add_key {name}", lambda: call(248, b"user", b"planted", b"secret", 6, ring) > 0)
attempt("request_key", lambda: call(249, b"user", b"planted", None, 0) > 0)
for name, ring in KEYRINGS.items():
    attempt(f"keyctl {name}", lambda: call(250, 0, ring, 1) > 0)
    attempt(f"searching {name}", lambda: call(250, 10, ring, b"user", b"planted", 0) > 0)
attempt("joining a session", lambda: call(250, 1, b"joined") > 0)
