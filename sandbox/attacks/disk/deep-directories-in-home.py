#: {"about": "the same where it stays: the VM has to go on working",
#:  "request": {"timeoutMs": 15000},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "timeout"]}}
import os

os.chdir(os.path.expanduser("~"))
made = 0
while made < 3_000:
    os.mkdir("d")
    os.chdir("d")
    made += 1
print("made", made)
