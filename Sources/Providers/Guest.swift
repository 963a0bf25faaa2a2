import Foundation

/// The same in every VM: where things are, and who the programs are.
enum Guest {
    static let user = "martlet"
    static let userID: UInt32 = 1000
    static let nestedRoot = 61_000  // who root of a nested runner is outside (sandbox/nest.c)
    static let home = "/home/martlet"
    static let runnerPort = 4611
    static let runner = "/opt/martlet/martlet-runner"
    static let runtimes = "/opt/martlet/runtimes"

    /// sshd's configuration. Of the three files of keys the first is the gateway's, the second the user's own, the third what
    /// gateways write there for the user. `MaxSessions` bounds shells and commands of one connection, not forwarded ones.
    /// - Parameter directory: of host key and `authorized_keys`. Unless root owns it, sshd must not look (`isStrict`).
    static func sshdConfiguration(directory: String, isStrict: Bool) -> String {
        """
        HostKey \(directory)/host_ed25519
        AuthorizedKeysFile \(directory)/authorized_keys .ssh/authorized_keys .ssh/authorized_keys2
        AllowUsers \(user)
        AuthenticationMethods publickey
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin no
        StrictModes \(isStrict ? "yes" : "no")
        UsePAM no
        UseDNS no
        AllowTcpForwarding local
        AllowStreamLocalForwarding no
        AllowAgentForwarding no
        X11Forwarding no
        PermitTunnel no
        PermitUserEnvironment no
        MaxSessions 256
        LoginGraceTime 20
        ClientAliveInterval 30
        ClientAliveCountMax 4
        Compression no
        PrintMotd no
        PrintLastLog no
        PidFile none
        SetEnv LANG=C.UTF-8
        LogLevel ERROR
        Subsystem sftp internal-sftp

        """
    }
}

/// What the runner reads (`sandbox/README.md`, "Configuration").
struct RunnerConfiguration: Encodable {
    struct User: Encodable {
        let name = Guest.user
        let uid = Guest.userID
        let gid = Guest.userID
        let home = Guest.home
    }
    struct Limits: Encodable {
        let memoryMb: Int
        let processes: Int
    }
    let secret: String
    let port = Guest.runnerPort
    let runtimes: String
    let user = User()
    let limits: Limits
    let cgroup: [String: String]
    var bounded: Bool?  // something around the VM bounds its processes
    var homeMb: Int?  // what of it is to be watched by the runner, where its storage does not keep it
    var network: String?

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
