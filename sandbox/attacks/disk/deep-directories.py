#: {"about": "makes directories 100,000 deep",
#:  "request": {"timeoutMs": 20000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "timeout"]}}
import os

os.chdir(os.environ.get("TMPDIR", "/tmp"))
made = 0
try:
    while made < 100_000:
        os.mkdir("d")
        os.chdir("d")
        made += 1
    print("blocked: nothing, but it has to be gone afterwards")
except OSError as error:
    print("blocked: after", made, error)
