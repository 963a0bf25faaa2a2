#: {"about": "changes clocks",
#:  "with": ["attack.py"]}
import ctypes
import time
from attack import attempt, call, write

now = (ctypes.c_long * 2)(int(time.time()) + 86400, 0)
attempt("clock_settime", lambda: call(227, 0, now) == 0)
attempt("settimeofday", lambda: call(164, now, None) == 0)
buffer = (ctypes.c_char * 256)()
ctypes.c_uint.from_buffer(buffer).value = 1  # ADJ_OFFSET
attempt("adjtimex", lambda: call(159, buffer) >= 0)
attempt("clock_adjtime", lambda: call(305, 0, buffer) >= 0)
attempt("stime by a file", lambda: open("/dev/rtc0", "wb"))
attempt("a namespace of clocks", lambda: call(272, 0x80) == 0)
attempt("the offsets of clocks", lambda: write("/proc/self/timens_offsets", "monotonic 86400 0"))
