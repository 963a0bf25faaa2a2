#: {"about": "leaves 20,000 files, some that cannot be removed without care",
#:  "with": ["attack.py"],
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"]}}],
#:  "modes": ["warm"],
#:  "request": {"timeoutMs": 20000}}
import os
import sys
from attack import attempt

if sys.argv[1] == "plant":
    os.mkdir("/tmp/many")
    for number in range(20_000):
        os.close(os.open(f"/tmp/many/{number}", os.O_CREAT | os.O_WRONLY))
    for name in (b"new\nline", b"-rf", b"\xff\xfe", "\u202egnp.exe".encode(), b" ", b"*", b"$(id)", b"`id`", b";id", b"'", b'"'):
        os.mkdir(b"/tmp/" + name)
        open(b"/tmp/" + name + b"/x", "w").close()
    os.chmod("/tmp/many", 0)
    print("blocked: planted")
else:
    attempt("what was left", lambda: [
        one for one in os.listdir("/tmp") if one != "run" and os.lstat(f"/tmp/{one}").st_uid == os.getuid()] or None)
