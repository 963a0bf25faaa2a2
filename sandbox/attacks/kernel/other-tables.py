#: {"about": "system calls of 32-bit programs and of x32",
#:  "with": ["attack.py"]}
from attack import attempt_apart, call, machine_code

# mov eax, 20 (getpid); int 0x80; ret
getpid = machine_code(bytes.fromhex("b814000000cd80c3"))


def by_interrupt():
    result = getpid()
    if result < 0:
        raise OSError(-result, "refused")
    return result


attempt_apart("int 0x80", by_interrupt)
attempt_apart("x32 getpid", lambda: call(0x40000000 | 39))
attempt_apart("x32 ptrace", lambda: call(0x40000000 | 521, 0, 0, 0, 0))
attempt_apart("a call that there is not", lambda: call(9999))
# sysenter
