#: {"about": "makes a million files that lie in memory",
#:  "request": {"timeoutMs": 20000, "limits": {"memoryMb": 256}},
#:  "modes": ["warm"],
#:  "expect": {"reason": ["exited", "memory", "timeout"]}}
import os

made = 0
try:
    while made < 1_000_000:
        os.close(os.open(f"/tmp/f{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
    print("THROUGH: a million")
except OSError as error:
    print("blocked: after", made, error)
