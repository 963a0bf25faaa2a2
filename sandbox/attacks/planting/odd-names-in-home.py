#: {"about": "leaves the oddest names in the home",
#:  "expect": {"lines": "blocked: "}}
import os

home = os.fsencode(os.path.expanduser("~"))
names = [b"new\nline", b"-rf", b"--", b"\xff\xfe\x80", "\u202egnp.exe".encode(), b" ", b"*", b"$(id)", b"`id`", b"x" * 255,
         b"\x01\x1b[2J", b"'", b'"', b"\\", "\u2028".encode()]
for name in names:
    os.makedirs(home + b"/" + name, exist_ok=True)
    open(home + b"/" + name + b"/" + name, "w").close()
print("blocked: made", len(names))
