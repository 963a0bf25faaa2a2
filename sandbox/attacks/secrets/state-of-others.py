#: {"about": "looks for what a run before it did to the interpreter",
#:  "steps": [{"request": {"args": ["plant"], "env": {"PLANTED": "value-of-a-secret"}}}, {"request": {"args":
#:     ["look"]}}],
#:  "expect": {"lines": "blocked: "}}
import builtins
import gc
import os
import random
import sys

if sys.argv[1] == "plant":
    builtins.planted = "secret-object"
    sys.modules["planted"] = builtins
    os.umask(0)
    os.nice(5)
    random.seed(1)
    print("blocked: planted")
else:
    found = [name for name in ("PLANTED",) if name in os.environ]
    found += ["builtins"] * hasattr(builtins, "planted") + ["a module"] * ("planted" in sys.modules)
    found += ["umask"] * (os.umask(0) != 0o022) + ["niceness"] * (os.nice(0) != 0)
    secret = "value-of-" + "a-secret"
    memory = open("/proc/self/environ", "rb").read()
    found += ["environ"] * (secret.encode() in memory)
    found += ["an object"] * any(one == "secret-" + "object" for one in gc.get_objects() if isinstance(one, str))
    print("THROUGH: " + ", ".join(found) if found else "blocked: nothing is left of it")
