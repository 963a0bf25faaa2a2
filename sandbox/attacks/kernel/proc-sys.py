#: {"about": "writes the kernel's settings",
#:  "with": ["attack.py"]}
import os
from attack import attempt, write

for path, value in (("kernel/core_pattern", "|/tmp/x"), ("kernel/modprobe", "/tmp/x"), ("kernel/hotplug", "/tmp/x"),
                    ("kernel/sysrq", "1"), ("kernel/hostname", "x"), ("kernel/randomize_va_space", "0"),
                    ("kernel/yama/ptrace_scope", "0"), ("kernel/kptr_restrict", "0"), ("kernel/dmesg_restrict", "0"),
                    ("kernel/pid_max", "300"), ("kernel/threads-max", "20"), ("kernel/ns_last_pid", "1"),
                    ("vm/overcommit_memory", "1"), ("vm/drop_caches", "3"), ("vm/panic_on_oom", "1"),
                    ("kernel/panic", "1"), ("fs/suid_dumpable", "2"), ("fs/protected_symlinks", "0"),
                    ("fs/binfmt_misc/register", ":x:M::x::/tmp/x:"), ("net/ipv4/ip_forward", "1"),
                    ("kernel/unprivileged_bpf_disabled", "0"), ("kernel/msgmax", "1"), ("kernel/shmmax", "1"),
                    ("fs/mqueue/queues_max", "1000"), ("user/max_user_namespaces", "1000")):
    attempt(path, lambda: write(f"/proc/sys/{path}", value))
attempt("sysrq", lambda: write("/proc/sysrq-trigger", "h"))
attempt("binfmt_misc", lambda: os.listdir("/proc/sys/fs/binfmt_misc") or None)
for path in ("/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/debug/x", "/sys/kernel/tracing/tracing_on",
             "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/module/kvm/parameters/x", "/proc/timer_list",
             "/proc/scsi/scsi", "/proc/acpi/wakeup", "/proc/latency_stats"):
    attempt(path, lambda: write(path, "1"))
