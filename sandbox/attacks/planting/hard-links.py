#: {"about": "plants hard links to what belongs to others where the runner, sshd and copies read and write",
#:  "steps": [{"request": {"args": ["plant"]}}, {"request": {"args": ["look"], "files": [{"path": "data/in.txt",
#:     "content": "content"}]}}],
#:  "expect": {"lines": "blocked: "}}
import os
import sys

home = os.path.expanduser("~")
targets = ["/etc/passwd", "/etc/shadow", "/etc/martlet/runner.json", "/etc/martlet/authorized_keys", "/usr/bin/su",
           "/opt/martlet/martlet-runner", "/usr/bin/python3", "/proc/self/environ", "/proc/1/environ"]
places = [home, os.getcwd(), "/tmp", "/var/tmp", "/dev/shm"]
if sys.argv[1] == "plant":
    for target in targets:
        for place in places:
            name = f"{place}/{os.path.basename(target)}"
            for follow in (False, True):
                try:
                    os.link(target, name, follow_symlinks=follow)
                except OSError as error:
                    print(f"blocked: {name}: {error}")
                    continue
                status = os.stat(name)
                own = status.st_uid == os.getuid()
                print(f"blocked: {target} is one's own" if own else f"THROUGH: {name} is {target}")
    # Of one's own they may be made: names of the next request's parts and code, all of one file.
    open(f"{home}/one", "w").write("planted")
    for place, name in ((home, "main.py"), (home, "data"), ("/tmp", "main.py"), ("/tmp", "data"), ("/var/tmp", "main.py")):
        try:
            os.symlink(f"{home}/one", f"{place}/{name}.link")
            os.link(f"{home}/one", f"{place}/{name}")
        except OSError as error:
            print("blocked:", error)
else:
    print("blocked: as usual" if open("data/in.txt").read() == "content" else "THROUGH: the file is another's")
    print("blocked: as usual" if os.stat("data/in.txt").st_nlink == os.stat("main.py").st_nlink == 1 else "THROUGH: links")
    one = f"{home}/one"
    print("blocked: untouched" if open(one).read() == "planted" else "THROUGH: written by a link")
    for name in targets:
        try:
            taken = os.stat(name).st_uid == os.getuid() and not name.startswith("/proc")
            print(f"THROUGH: {name} is one's own now" if taken else "blocked: still another's")
        except OSError as error:
            print("blocked:", error)
