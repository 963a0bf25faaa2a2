#: {"about": "reads the kernel's and the machine's memory and addresses",
#:  "with": ["attack.py"]}
import os
from attack import attempt, read


def addresses(path):
    text = read(path, 200_000).decode(errors="replace")
    return next((line for line in text.split("\n") if line and set(line.split()[0]) - {"0"}), None)


for path in ("/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags",
             "/proc/vmallocinfo", "/proc/slabinfo", "/proc/iomem/x", "/proc/keys/x", "/boot/vmlinuz", "/proc/sched_debug",
             "/proc/timer_list", "/sys/kernel/notes/x", "/sys/kernel/debug/kprobes/list", "/sys/firmware/dmi/tables/DMI",
             "/sys/kernel/boot_params/data", "/sys/firmware/acpi/tables/DSDT"):
    attempt(path, lambda: read(path) or None)
attempt("addresses in /proc/kallsyms", lambda: addresses("/proc/kallsyms"))
attempt("addresses in /proc/modules", lambda: next(
    (line for line in read("/proc/modules", 99999).decode().split("\n") if line and int(line.split()[-1], 16)), None)
    if os.path.exists("/proc/modules") else None)
attempt("frames in /proc/self/pagemap", lambda: int.from_bytes(read("/proc/self/pagemap", 8), "little") & (1 << 55) - 1
        or None)
attempt("the kernel's log", lambda: __import__("attack").call(103, 3, (__import__("ctypes").c_char * 100)(), 100) > 0)
