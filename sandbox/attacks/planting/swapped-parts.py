#: {"about": "swaps parts of its directory for links, over and over, while files of other runs are written",
#:  "steps": [{"request": {"args": ["swap"], "files": [{"path": "a/b/c", "content": "x"}]}, "expect": {"lines":
#:     "blocked: "}}, {"request": {"args": ["look"], "files": [{"path": "a/b/c", "content": "content"}, {"path":
#:     "a/b/d", "content": "content"}]}, "expect": {"lines": "blocked: "}}]}
import os
import sys
import time

home = os.path.expanduser("~")
if sys.argv[1] == "swap":
    if os.fork() == 0:  # goes on after the end, if it may
        os.setsid()
        for number in range(3):
            os.close(number)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for place in (os.getcwd(), "/tmp", "/var/tmp"):
                for name in ["a", "run"] + [one for one in os.listdir(place) if one.startswith(("martlet", "run"))]:
                    try:
                        os.rename(f"{place}/{name}", f"{place}/{name}.away")
                        os.symlink("/etc", f"{place}/{name}")
                        os.unlink(f"{place}/{name}")
                        os.rename(f"{place}/{name}.away", f"{place}/{name}")
                    except OSError:
                        pass
        os._exit(0)
    print("blocked: begun")
else:
    print("blocked: as usual" if open("a/b/c").read() == open("a/b/d").read() == "content" else "THROUGH: another file")
    for place in ("/etc", home):
        for name in ("a", "b", "c", "d"):
            path = f"{place}/{name}"
            print(f"THROUGH: {path}" if os.path.lexists(path) else "blocked: nothing beside it")
