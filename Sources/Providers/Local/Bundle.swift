import Cryptography
import Foundation

/// The OCI bundle of a VM: its root tree, crun's configuration, and the mounts the launcher makes first.
///
/// Compared at each start with what it would be now, so a newer Martlet or changed limits take effect with it. The root tree is small and
/// read-only: directories to mount on, and a generated `/etc`. The VM's root does not own most of it, and so could
/// change nothing even if it were writable.
struct Bundle {
    /// Where the launcher assembles the tree, in its private mount namespace. crun enters the user namespace before
    /// it looks at the root tree and at the sources of binds, and the VM's root may not pass our 0700 directories:
    /// so what lies under them is mounted beneath this first, and crun takes it from there.
    let root: String

    let directory: VMDirectory
    let configuration: LocalProvider.Configuration
    let spec: VMSpec
    let ids: VMDirectory.IDRange
    let group: ControlGroup
    let hasImage: Bool

    /// Directories of the host's `/etc` that installed languages need.
    private static let hostConfiguration = [
        "alternatives", "ssl", "php", "perl", "python3", "python3.11", "java-", "ld.so.cache", "localtime",
    ]
    private static let merged = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]

    init(
        directory: VMDirectory, configuration: LocalProvider.Configuration, spec: VMSpec, ids: VMDirectory.IDRange,
        group: ControlGroup, hasImage: Bool
    ) throws(ProviderError) {
        self.directory = directory
        self.configuration = configuration
        self.spec = spec
        self.ids = ids
        self.group = group
        self.hasImage = hasImage
        // It covers what is below it, which therefore must be nothing the launcher needs.
        let needed = [
            directory.path, configuration.runner, configuration.egress, configuration.runtimes, configuration.crun,
        ]
        let places = ["/mnt", "/media", "/srv", "/opt", "/boot"]
        guard
            let root = places.first(where: { place in
                Files.isDirectory(place) && !needed.contains { $0.hasPrefix(place + "/") }
            })
        else {
            throw ProviderError(
                .unavailable, "No directory to assemble a VM in.", hint: "Make the directory /mnt on this machine.")
        }
        self.root = root
    }

    /// Brings the tree up to date; when it is, as for a second start, that writes nothing.
    func write() throws {
        let entries = try entries()
        let digest = hexadecimal(SHA256.hash(entries.flatMap { Array("\($0)\n".utf8) }))
        if Files.text(of: directory.bundleDigest) == digest { return }
        unlink(directory.bundleDigest)
        try? FileManager.default.removeItem(atPath: directory.rootfs)
        try Files.makeDirectory(directory.rootfs)
        try Files.makeDirectory(directory.bundle, mode: 0o700)
        for entry in entries { try entry.make() }
        try Files.write(digest, to: directory.bundleDigest, mode: 0o600)
    }

    // MARK: The tree

    private enum Entry {
        case directory(String)
        case link(String, target: String)
        case file(String, text: String, mode: mode_t, owner: uid_t)

        func make() throws(ProviderError) {
            switch self {
            case .directory(let path): try Files.makeDirectory(path)
            case .link(let path, let target): try Files.link(path, to: target)
            case .file(let path, let text, let mode, let owner):
                try Files.make(path, text, mode: mode, owner: owner)
            }
        }
    }

    private func entries() throws -> [Entry] {
        let tree = [
            "/usr", "/etc/ssh", "/etc/martlet", "/home/martlet", "/proc", "/sys/fs/cgroup", "/dev", "/tmp", "/run",
            "/root", "/var/tmp", "/var/empty", "/opt/martlet/runtimes",
        ]
        var entries = (tree + group.guestMounts.map(\.destination)).map { Entry.directory(directory.rootfs + $0) }
        for name in Self.merged {
            if let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/\(name)") {
                entries.append(.link("\(directory.rootfs)/\(name)", target: target))
            } else if Files.isDirectory("/\(name)") {
                entries.append(.directory("\(directory.rootfs)/\(name)"))
            }
        }
        for path in hostConfiguration {
            let place = directory.rootfs + path
            entries.append(
                Files.isDirectory(path) ? .directory(place) : .file(place, text: "", mode: 0o644, owner: ids.base))
        }
        entries.append(
            .file(directory.rootfs + Guest.runner, text: "", mode: 0o755, owner: ids.base))
        entries += try configurationFiles()
        let container = try json(containerConfiguration())
        entries.append(.file("\(directory.bundle)/config.json", text: container, mode: 0o600, owner: 0))
        return entries
    }

    private func json(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Whether runs can have a way out of the VM (`sandbox/egress`).
    private var hasEgress: Bool { spec.network && configuration.egressProblem == nil }

    private var hostConfiguration: [String] {
        Files.names(in: "/etc").filter { name in
            Self.hostConfiguration.contains { $0.hasSuffix("-") ? name.hasPrefix($0) : name == $0 }
        }.map { "/etc/\($0)" } + configuration.languagePaths.filter { access($0, F_OK) == 0 }
    }

    private func configurationFiles() throws -> [Entry] {
        let (user, id) = (Guest.user, Guest.userID)
        let accounts = """
            root:x:0:0:root:/root:/usr/sbin/nologin
            sshd:x:103:65534::/run/sshd:/usr/sbin/nologin
            \(user):x:\(id):\(id)::\(Guest.home):/bin/bash
            nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin

            """
        let runner = RunnerConfiguration(
            secret: spec.runnerSecret.lowercased(), runtimes: Guest.runtimes,
            limits: .init(memoryMb: spec.memoryMb, processes: spec.processes), cgroup: group.runnerConfiguration,
            homeMb: hasImage ? nil : spec.diskMb)
        let readable = [
            "passwd": accounts,
            "group": "root:x:0:\ntty:x:5:\n\(user):x:\(id):\nnogroup:x:65534:\n",
            "hostname": spec.name + "\n",
            "hosts": "127.0.0.1 localhost \(spec.name)\n::1 localhost ip6-localhost ip6-loopback\n",
            "resolv.conf": hasEgress ? "nameserver 10.0.2.3\nnameserver fec0::3\n" : "",
            "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
            "profile": "PS1='\\u@\\h:\\w\\$ '\n",
            // A tree that the VM's root does not own would be refused by `StrictModes`.
            "ssh/sshd_config": Guest.sshdConfiguration(directory: "/etc/ssh", isStrict: false),
            "ssh/host_ed25519.pub": spec.hostKey.publicKey + "\n",
            "ssh/authorized_keys": spec.authorizedKeys.map { $0 + "\n" }.joined(),
        ]
        let secret = [
            "shadow": ["root", "sshd", user, "nobody"].map { "\($0):*:19000:0:99999:7:::\n" }.joined(),
            "ssh/host_ed25519": spec.hostKey.privateKey,
            "martlet/runner.json": try runner.json(),
        ]
        return [(readable, mode_t(0o644)), (secret, 0o600)].flatMap { files, mode in
            files.sorted { $0.key < $1.key }.map { name, text in
                .file("\(directory.rootfs)/etc/\(name)", text: text, mode: mode, owner: ids.base)
            }
        }
    }

    // MARK: Mounts

    /// What the launcher mounts, in its own mount namespace, before crun starts.
    var mounts: [AssemblyStep] {
        var steps: [AssemblyStep] = []
        if case .separate(_, let unified?) = group.hierarchy {
            // crun refuses a machine with both versions, and looks for this mount to tell.
            steps.append(.cover(unified))
        }
        steps.append(.bind(directory.rootfs, to: root))
        let home = root + Guest.home
        steps.append(
            hasImage
                ? .home(directory.homeImage, to: home)
                : .bind(directory.homeDirectory, to: home, options: ["nosuid", "nodev"]))
        for (source, target) in [(configuration.runner, Guest.runner), (configuration.runtimes, Guest.runtimes)] {
            steps.append(.bind(source, to: root + target, options: ["ro", "nosuid", "nodev"]))
        }
        return steps
    }

    private func containerConfiguration() -> ContainerConfiguration {
        typealias Mount = ContainerConfiguration.Mount
        // Memory of these counts as the VM's own, so half of it at most.
        let size = "size=\(max(16, spec.memoryMb / 2))m"
        var mounts = [
            Mount("/proc", "proc", "nosuid", "noexec", "nodev"),
            Mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=64k"),
            Mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
            Mount("/dev/shm", "tmpfs", "nosuid", "nodev", "noexec", "mode=1777", size),
            Mount("/run", "tmpfs", "nosuid", "nodev", "mode=755", "size=4m"),
            Mount("/run/sshd", "tmpfs", "nosuid", "nodev", "noexec", "mode=755", "size=64k"),
            Mount("/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", size),
            Mount("/var/tmp", "tmpfs", "nosuid", "nodev", "mode=1777", size),
        ]
        let unmerged = Self.merged.filter {
            Files.isDirectory("/\($0)") && (try? FileManager.default.destinationOfSymbolicLink(atPath: "/\($0)")) == nil
        }
        for path in ["/usr"] + unmerged.map({ "/\($0)" }) + hostConfiguration {
            mounts.append(Mount(bind: path, to: path, "ro", "nosuid", "nodev"))
        }
        for (source, destination) in group.guestMounts {
            mounts.append(Mount(bind: source, to: destination, "rw", "nosuid", "nodev", "noexec"))
        }
        var files = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)  // cannot fail; the hard limit may not be raised
        return ContainerConfiguration(
            hostname: spec.name, root: .init(path: root),
            process: .init(
                args: [
                    Guest.runner, "init", "--config", "/etc/martlet/runner.json", "--listen-fd", "3",
                    "--sshd", configuration.sshd, "--sshd-config", "/etc/ssh/sshd_config",
                ] + (hasEgress ? ["--egress-fd", "4"] : []), openFiles: min(UInt64(files.rlim_max), 65_536)),
            mounts: mounts,
            linux: .init(
                mapping: .init(hostID: ids.base, size: VMDirectory.IDRange.count)))
    }
}
