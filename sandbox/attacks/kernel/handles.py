#: {"about": "opens files by handle, past the permissions of their directories",
#:  "with": ["attack.py"]}
import ctypes
import os
from attack import attempt, call

handle = (ctypes.c_char * 136)()
ctypes.c_uint32.from_buffer(handle).value = 128
mount = (ctypes.c_int * 1)()
attempt("name_to_handle_at", lambda: call(303, -100, b"/etc/passwd", handle, mount, 0) == 0 and None)
for inode in (2, 1, 128):
    ctypes.c_uint32.from_buffer(handle).value = 8
    ctypes.c_uint32.from_buffer(handle, 4).value = 1
    ctypes.c_uint32.from_buffer(handle, 8).value = inode
    attempt(f"open_by_handle_at {inode}", lambda: call(304, os.open("/", os.O_RDONLY), handle, os.O_RDONLY) >= 0)
