#: {"about": "kills, stops and traces its own parent",
#:  "with": ["attack.py"],
#:  "expect": {"reason": ["exited", "signaled"]}}
import os
import signal
from attack import attempt

attempt("stopping the parent", lambda: os.kill(os.getppid(), signal.SIGSTOP) or os.getppid() > 1)
attempt("killing the parent", lambda: os.kill(os.getppid(), signal.SIGKILL) or os.getppid() > 1)
