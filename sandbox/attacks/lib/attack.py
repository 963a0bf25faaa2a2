"""What attacks in Python share: system calls by number, and a word on each attempt."""

import ctypes
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Through(Exception):
    """An attempt that was not stopped, and what it got."""


def call(number, *arguments):
    """A system call of x86-64 by its number. Raises OSError."""
    words = [one if isinstance(one, (bytes, ctypes.Array, ctypes._Pointer)) or one is None else ctypes.c_long(one)
             for one in arguments]
    words = [ctypes.byref(word) if isinstance(word, ctypes.Structure) else word for word in words]
    result = libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def attempt(what, deed):
    """Does it and says whether it was stopped. A deed that returns None or False did nothing."""
    try:
        result = deed()
    except Through as got:
        print(f"THROUGH: {what}: {got}", flush=True)
    except Exception as error:
        print(f"blocked: {what}: {error}".replace("\n", " "), flush=True)
    else:
        if result is None or result is False:
            print(f"blocked: {what}: nothing came of it", flush=True)
        else:
            print(f"THROUGH: {what}: {str(result)[:200]!r}", flush=True)


def attempt_apart(what, deed):
    """As attempt, in a process of its own, for what is answered with a signal."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            result = deed()
            print(f"THROUGH: {what}: {result!r}", flush=True)
        except OSError as error:
            print(f"blocked: {what}: {error}", flush=True)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        print(f"blocked: {what}: {signal.Signals(os.WTERMSIG(status)).name}", flush=True)


def machine_code(code):
    """A function of no arguments made of these bytes."""
    import mmap

    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    function = ctypes.CFUNCTYPE(ctypes.c_long)(address)
    function.memory = memory
    return function


def read(path, most=4096):
    with open(path, "rb") as file:
        return file.read(most)


def write(path, text):
    """As one write, so that what the kernel says of it is heard."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
