#: {"about": "looks for descriptors that were left open to it",
#:  "expect": {"lines": "blocked: "}}
import os

left = []
for name in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        continue
    if int(name) > 2 and not target.startswith(f"/proc/{os.getpid()}/fd"):
        left.append(f"{name}: {target}")
for number in range(3, 4096):
    try:
        os.fstat(number)
    except OSError:
        continue
    left.append(str(number))
kinds = [os.readlink(f"/proc/self/fd/{number}").split(":")[0] for number in range(3)]
print("THROUGH: " + ", ".join(left) if left else "blocked: no descriptor but three")
print("blocked: three pipes" if set(kinds) == {"pipe"} else f"THROUGH: {kinds}")
