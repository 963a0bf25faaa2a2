#: {"about": "starts threads without end",
#:  "request": {"limits": {"processes": 64}, "timeoutMs": 5000},
#:  "expect": {"reason": ["processes", "exited", "signaled"]}}
import threading
import time

while True:
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
