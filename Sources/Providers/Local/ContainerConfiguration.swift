import Foundation

/// What of the OCI runtime specification a VM uses (opencontainers/runtime-spec, `config.md` and `config-linux.md`).
struct ContainerConfiguration: Encodable {
    struct Root: Encodable {
        let path: String
        let readonly = true
    }

    struct Mount: Encodable {
        let destination: String
        let type: String
        let source: String
        let options: [String]

        init(_ destination: String, _ type: String, _ options: String...) {
            self.destination = destination
            self.type = type
            source = type
            self.options = options
        }

        init(bind source: String, to destination: String, _ options: String...) {
            self.destination = destination
            self.source = source
            type = "bind"
            self.options = ["rbind"] + options
        }
    }

    struct Process: Encodable {
        struct User: Encodable {
            let uid = 0
            let gid = 0
        }
        struct Limit: Encodable {
            let type: String
            let soft: UInt64
            let hard: UInt64
        }

        let terminal = false
        let user = User()
        let args: [String]
        let env = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
        let cwd = "/"
        let noNewPrivileges = true
        let oomScoreAdj = 300  // short of memory, the machine's own programs outlive those of its guests
        let rlimits: [Limit]
        let capabilities: [String: [String]]

        /// What `sandbox/` needs to confine runs, and sshd to change user.
        private static let capabilities = [
            "SYS_ADMIN", "NET_ADMIN", "SETUID", "SETGID", "SETPCAP", "CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL",
            "SYS_CHROOT", "SYS_PTRACE",
        ].map { "CAP_" + $0 }

        init(args: [String], openFiles: UInt64) {
            self.args = args
            rlimits = [
                Limit(type: "RLIMIT_NOFILE", soft: openFiles, hard: openFiles),
                Limit(type: "RLIMIT_CORE", soft: 0, hard: 0),
            ]
            capabilities = [
                "bounding": Self.capabilities, "effective": Self.capabilities, "permitted": Self.capabilities,
            ]
        }
    }

    struct Linux: Encodable {
        struct Mapping: Encodable {
            let containerID: UInt32 = 0
            let hostID: UInt32
            let size: UInt32
        }
        struct Namespace: Encodable {
            let type: String
        }

        /// For all of the VM, so for SSH sessions too; the runner's filter for runs is stricter. What is refused is
        /// what nobody in a VM needs and where kernels have been broken out of, first of all user namespaces of the
        /// user's own, in which anybody is root.
        struct Filter: Encodable {
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

            private static let newUser = Rule.Argument(index: 0, value: 0x1000_0000, valueTwo: 0x1000_0000)

            let defaultAction = "SCMP_ACT_ALLOW"
            let syscalls = [
                Rule(names: ["clone", "unshare"], errnoRet: EPERM, args: [newUser]),
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

        let seccomp = Filter()
        let uidMappings: [Mapping]
        let gidMappings: [Mapping]
        let namespaces: [Namespace]
        // The runner mounts a procfs for each run, and the kernel allows that only where this one is uncovered
        // (mount_namespaces(7)). The user namespace makes the masks needless: what they hide belongs to the host's root.
        let maskedPaths: [String] = []
        let readonlyPaths: [String] = []

        /// Not of control groups: the launcher makes that one, when it is where the VM's root of groups shall be.
        init(mapping: Mapping) {
            uidMappings = [mapping]
            gidMappings = [mapping]
            namespaces = ["user", "mount", "pid", "ipc", "uts", "network"].map(Namespace.init)
        }
    }

    let ociVersion = "1.0.2"
    let hostname: String
    let root: Root
    let process: Process
    let mounts: [Mount]
    let linux: Linux
}
