#: {"about": "looks for every directory that it may write to",
#:  "request": {"timeoutMs": 30000},
#:  "modes": ["warm"],
#:  "expect": {"lines": "blocked: "}}
import os
import stat

KNOWN = {"/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"}  # emptied after each run, or private
found = []
places = ["/"]
while places:
    place = places.pop()
    try:
        entries = list(os.scandir(place))
    except OSError:
        continue
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False) or entry.path in ("/proc", "/sys", os.path.expanduser("~")):
            continue
        if entry.path in KNOWN:
            continue
        if os.access(entry.path, os.W_OK):
            found.append(entry.path)
        if entry.path not in ("/usr/share", "/usr/lib", "/usr/include", "/usr/src"):
            places.append(entry.path)
print("THROUGH: " + ", ".join(found) if found else "blocked: none but those that are emptied")
