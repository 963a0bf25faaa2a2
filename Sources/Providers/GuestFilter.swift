import Foundation

/// The calls that a whole VM does without, SSH sessions too; the runner's filter for runs is stricter. What is refused is
/// what nobody in a VM needs and where kernels have been broken out of, first of all user namespaces of the user's own,
/// in which anybody is root.
///
/// In the form of the OCI runtime specification (`config-linux.md`, "Seccomp"), which the Docker engine's profiles share.
/// Calls of another architecture are in no list, and so end their program.
struct GuestFilter: Encodable {
    struct Rule: Encodable {
        struct Argument: Encodable {
            let index: Int
            let value: UInt64
            let valueTwo: UInt64
            let op = "SCMP_CMP_MASKED_EQ"
        }
        let names: [String]
        let action = "SCMP_ACT_ERRNO"
        let errnoRet: Int32
        var args: [Argument] = []
    }

    let defaultAction = "SCMP_ACT_ALLOW"
    let syscalls: [Rule]

    /// - Parameter userNamespaces: whether they may be made; then whoever makes the last one forbids them by other means.
    init(userNamespaces: Bool) {
        let newUser = Rule.Argument(index: 0, value: 0x1000_0000, valueTwo: 0x1000_0000)
        syscalls =
            (userNamespaces ? [] : [Rule(names: ["clone", "unshare"], errnoRet: EPERM, args: [newUser])]) + [
                // Its flags are in memory, where a filter cannot look; libraries fall back to clone(2).
                Rule(
                    names: ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register"], errnoRet: ENOSYS),
                Rule(
                    names: [
                        "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "kexec_load",
                        "kexec_file_load", "init_module", "finit_module", "delete_module", "open_by_handle_at",
                        "swapon", "swapoff", "reboot", "acct", "quotactl", "quotactl_fd", "settimeofday",
                        "clock_settime", "adjtimex", "clock_adjtime", "modify_ldt", "ioperm", "iopl",
                    ], errnoRet: EPERM),
            ]
    }

    /// As a profile of the Docker engine.
    var json: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}
