#: {"about": "makes a file that claims to be huge",
#:  "request": {"timeoutMs": 60000, "limits": {"outputBytes": 1048576}},
#:  "expect": {"lines": "blocked: "}}
import os

path = os.path.expanduser("~/sparse")
with open(path, "wb") as file:
    try:
        file.truncate(1 << 62)
        print("THROUGH: four exabytes")
    except OSError as error:
        print("blocked: four exabytes:", error)
    try:
        file.truncate(1 << 40)
    except OSError as error:
        print("blocked: a terabyte:", error)
used = os.stat(path).st_blocks * 512
print("blocked: a terabyte that takes nothing" if used < 1 << 20 else f"THROUGH: {used} bytes taken")
