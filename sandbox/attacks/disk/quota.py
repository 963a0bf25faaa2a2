#: {"about": "sets a limit of its own on file sizes, and takes limits away",
#:  "with": ["attack.py"]}
import resource
from attack import attempt

for name in ("RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",
             "RLIMIT_RTPRIO"):
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        continue
    attempt(f"raising {name} from {hard}", lambda: resource.setrlimit(kind, (hard + 1, hard + 1)) or True)
