#: {"about": "makes a million files",
#:  "request": {"timeoutMs": 20000, "args": ["1000000"]},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "timeout"]},
#:  "providers": {"docker": {"because": "what grows although the home is full is killed",
#:     "expect": {"reason": ["exited", "timeout", "signaled"]}}}}
import os
import sys

home = os.path.expanduser("~/files")
os.mkdir(home)
made = 0
try:
    while made < int(sys.argv[1]):
        if made % 10_000 == 0:
            os.mkdir(f"{home}/{made}")
            place = os.open(f"{home}/{made}", os.O_RDONLY | os.O_DIRECTORY)
        os.mknod(f"f{made}", dir_fd=place)
        made += 1
except OSError as error:
    print("blocked: after", made, error)
