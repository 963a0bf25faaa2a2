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

        let seccomp = GuestFilter(userNamespaces: false)
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
