import Cryptography

/// The container that a spec asks for.
///
/// What can change while a container lives is left to updates: processors, memory, processes, keys. All else is fixed when
/// it is made, and ``digest`` tells whether one was made from the same. Nothing secret is in it: keys and the runner's
/// secret go into the container's file system, before it is started, where no inspection shows them.
///
/// A user in the VM can write to his home, which is a volume, and to what lies in memory (`/tmp` and its kin): the
/// container's own layer belongs to root.
struct Blueprint: Sendable {
    enum Label {
        static let managed = "gh.gg/managed"
        static let name = "gh.gg/vm-name"
        static let digest = "gh.gg/digest"
        static let port = "gh.gg/ssh-port"
    }

    static let sshPort = "22/tcp"
    static let settings = "/etc/martlet"  // the directory of what a VM is given

    /// For a runner that makes itself a user namespace: to map ids into it, to hand files and control groups over, and to
    /// give up what it needed before. For the engine's own first process: to tell the runner, who is somebody else then,
    /// to end.
    static let capabilitiesToNest = ["CHOWN", "DAC_OVERRIDE", "KILL", "SETGID", "SETPCAP", "SETUID"]

    /// Where that is not possible. For sshd: to change user and root, to keep its records of terminals. For the runner: to
    /// change user, hand files over, look after and end the programs of others, and take their capabilities away.
    private static let capabilities = capabilitiesToNest + ["AUDIT_WRITE", "SYS_CHROOT"]

    let spec: VMSpec
    let image: String  // its id
    let network: String
    let vcpus: Int  // at most what the engine has
    let address: String
    let isNested: Bool  // whether the runner makes itself a user namespace, and in it those of runs
    var limitsLayer: Bool  // whether the engine's storage may hold the container's own layer to a size

    static func home(of name: String) -> String { "\(name)-home" }

    /// - Parameter port: of the machine's, for SSH.
    func request(port: Int) throws -> ContainerRequest {
        var request = try fixed
        request.labels[Label.digest] = try digest
        request.labels[Label.port] = String(port)
        request.hostConfig.portBindings = [Self.sshPort: [.init(hostIp: address, hostPort: String(port))]]
        request.hostConfig.nanoCpus = limits.nanoCpus
        request.hostConfig.memory = limits.memory
        request.hostConfig.memorySwap = limits.memorySwap
        request.hostConfig.pidsLimit = limits.pidsLimit
        request.hostConfig.storageOpt = limitsLayer ? ["size": "\(spec.diskMb)m"] : nil
        // Memory of these counts as the VM's own, so half of it at most.
        for path in ["/tmp", "/var/tmp"] {
            request.hostConfig.tmpfs?[path]?.append(",size=\(max(16, spec.memoryMb / 2))m")
        }
        return request
    }

    /// No swap: memory and swap together are as much as memory alone.
    var limits: ContainerUpdate {
        ContainerUpdate(
            nanoCpus: vcpus * 1_000_000_000, memory: spec.memoryMb << 20, memorySwap: spec.memoryMb << 20,
            pidsLimit: spec.allProcesses)
    }

    var digest: String {
        get throws { hexadecimal(SHA256.hash(try EngineCoding.encode(fixed))) }
    }

    /// With what root of a container needs to make a user namespace and the namespaces of runs in it: its calls, mounts, and
    /// a procfs that nothing covers. What the engine's own filter, profile and masks would keep from that root is kept
    /// from him by his own step into that namespace, before anything of a user runs.
    static func nested(_ plain: ContainerRequest.HostConfig) throws -> ContainerRequest.HostConfig {
        var config = plain
        let filter = try GuestFilter(userNamespaces: true).json
        config.securityOpt = (plain.securityOpt ?? []) + ["seccomp=\(filter)", "apparmor=unconfined"]
        config.maskedPaths = ["/sys/firmware", "/sys/kernel", "/sys/devices/virtual/powercap"]
        config.readonlyPaths = []
        return config
    }

    private var fixed: ContainerRequest {
        get throws {
            var request = plain
            if isNested {
                request.cmd.append("--nest")
                request.hostConfig = try Self.nested(request.hostConfig)
            }
            return request
        }
    }

    private var plain: ContainerRequest {
        var command = [
            Guest.runner, "init", "--config", "\(Self.settings)/runner.json", "--sshd", "/usr/sbin/sshd",
            "--sshd-config", "\(Self.settings)/sshd_config", "--listen-port", "22",
        ]
        var capabilities = isNested ? Self.capabilitiesToNest : Self.capabilities
        if !spec.network {
            // The runner takes the default route away with it, and then the capability from all there will be.
            command.append("--unroute")
            capabilities.append("NET_ADMIN")
        }
        return ContainerRequest(
            image: image, hostname: spec.name, cmd: command,
            labels: [Label.managed: "true", Label.name: spec.name], exposedPorts: [Self.sshPort: .init()],
            stopTimeout: 3,
            hostConfig: .init(
                nanoCpus: 0, memory: 0, memorySwap: 0,
                // Comes back with the engine, but not if it was stopped by us.
                restartPolicy: .init(name: "unless-stopped"), networkMode: network,
                // The engine's own name server would carry questions out of an isolated network: it asks one that there is
                // not, and whoever asks it gives up soon.
                dns: spec.network ? nil : ["127.0.0.1"], dnsOptions: spec.network ? nil : ["timeout:1", "attempts:1"],
                capDrop: ["ALL"], capAdd: capabilities,
                securityOpt: ["no-new-privileges:true"], init: true,
                logConfig: .init(type: "json-file", config: ["max-size": "1m", "max-file": "2"]),
                oomScoreAdj: 300,  // short of memory, the machine's own programs outlive those of its guests
                mounts: [.init(type: "volume", source: Self.home(of: spec.name), target: Guest.home)],
                tmpfs: [
                    "/tmp": "rw,nosuid,nodev,exec,mode=1777", "/var/tmp": "rw,nosuid,nodev,exec,mode=1777",
                    "/run": "rw,nosuid,nodev,noexec,size=4m,mode=755", "/run/sshd": "rw,noexec,size=64k,mode=755",
                ]))
    }

    /// What the VM is given before it starts, to be unpacked at `/etc`.
    func settingsArchive() throws -> [UInt8] {
        let runner = RunnerConfiguration(
            secret: spec.runnerSecret.lowercased(), runtimes: Guest.runtimes,
            limits: .init(memoryMb: spec.memoryMb, processes: spec.processes), cgroup: [:], bounded: true,
            homeMb: spec.diskMb,
            network: spec.network || !isNested ? "shared" : "private")
        var archive = TarArchive()
        try archive.addDirectory("martlet")
        try archive.addFile(
            "martlet/host_ed25519", spec.hostKey.privateKey, mode: 0o600, owner: isNested ? Guest.nestedRoot : 0)
        try archive.addFile("martlet/authorized_keys", spec.authorizedKeys.map { $0 + "\n" }.joined(), mode: 0o644)
        try archive.addFile(
            "martlet/sshd_config", Guest.sshdConfiguration(directory: Self.settings, isStrict: true), mode: 0o644)
        try archive.addFile("martlet/runner.json", runner.json(), mode: 0o600)
        return archive.finished()
    }
}
