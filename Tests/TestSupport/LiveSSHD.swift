import Cryptography
import EventLoop
import Foundation
package import SSH
package import Testing

/// One real OpenSSH server for every test under a suite. Where `sshd` is not installed or the tests do not run as
/// root the suite is left out with a printed reason, and fails in continuous integration.
package struct LiveSSHD: SuiteTrait, TestScoping {
    @TaskLocal private static var current: SSHServer?

    /// The server that runs now.
    package static var server: SSHServer {
        guard let current else { preconditionFailure("a test that uses LiveSSHD stands in a suite with its trait") }
        return current
    }

    package init() {}

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard ProcessInfo.processInfo.environment["CI"] != nil || SSHServer.isAvailable else {
            return print("skipped: \(test.name), for it needs root and \(SSHServer.executable)")
        }
        try await SSHServer.with { server in
            try await Self.$current.withValue(server) { try await tests() }
        }
    }
}

/// An sshd of a test's own with its own host key and configuration: a listener on loopback that gives every
/// connection to a fresh `sshd -i`, as the machines' init does.
package actor SSHServer {
    /// Where it is and how to log in.
    package nonisolated let endpoint: SSHEndpoint
    private let loop: EventLoop
    private let directory: String
    private let listener: LoopbackListener
    private var processes: [Int32: ChildProcess] = [:]

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    static let executable = "/usr/sbin/sshd"
    static var isAvailable: Bool { getuid() == 0 && FileManager.default.isExecutableFile(atPath: executable) }

    private init(endpoint: SSHEndpoint, directory: String, listener: LoopbackListener, loop: EventLoop) {
        self.endpoint = endpoint
        self.directory = directory
        self.listener = listener
        self.loop = loop
    }

    /// Lends a running server; `settings` are lines for its `sshd_config`.
    package static func with<R: Sendable>(
        settings: [String] = [], _ body: @Sendable (SSHServer) async throws -> R
    ) async throws -> R {
        try await withTemporaryDirectory { directory in
            let hostKey = try SSHKeyPair.generate(comment: "host")
            let userKey = try SSHKeyPair.generate(comment: "user")
            let defaults = [
                "HostKey \(directory)/host_key", "AuthorizedKeysFile \(directory)/authorized_keys",
                "PasswordAuthentication no", "KbdInteractiveAuthentication no", "UsePAM no", "StrictModes no",
                "PermitRootLogin prohibit-password", "PidFile none", "Subsystem sftp internal-sftp",
                "SetEnv HOME=\(directory)",  // a .bashrc of the machine would delay every command
            ]
            let names = settings.map { $0.prefix { $0 != " " } }
            let lines = settings + defaults.filter { line in !names.contains { line.hasPrefix("\($0) ") } }
            let files = [
                "host_key": hostKey.privateKey, "authorized_keys": userKey.publicKey,
                "sshd_config": lines.joined(separator: "\n"),
            ]
            for (name, content) in files {
                let path = "\(directory)/\(name)"
                try Data((content + "\n").utf8).write(to: URL(fileURLWithPath: path))
                try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
            }
            // Debian's sshd wants its privilege separation directory, which a service file would make.
            try FileManager.default.createDirectory(atPath: "/run/sshd", withIntermediateDirectories: true)

            let listener = try LoopbackListener()
            let endpoint = SSHEndpoint(
                host: "127.0.0.1", port: listener.port, user: "root", privateKey: userKey.privateKey,
                hostKey: hostKey.publicKey)
            let server = SSHServer(endpoint: endpoint, directory: directory, listener: listener, loop: .next())
            return try await serving(server.serve) { try await body(server) }
        }
    }

    /// The processes that serve a connection now.
    package var connections: [Int32] { Array(processes.keys) }

    /// Kills every connection's process, as if the machine were gone.
    package func killConnections() async {
        for process in processes.values { await process.send(.kill) }
    }

    private func serve() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                let connection = try await listener.accept(on: loop)
                group.addTask { try await self.run(connection) }
            }
        }
    }

    private func run(_ connection: Int32) async throws {
        var command = ChildProcess.Command(Self.executable, ["-i", "-e", "-f", "\(directory)/sshd_config"])
        command.input = .descriptor(connection)
        command.output = .descriptor(connection)
        command.error = .appending(path: "\(directory)/sshd.log")
        command.endsWithParent = .kill
        let process: ChildProcess
        do {
            defer { close(connection) }
            process = try await ChildProcess.start(command, on: loop)
        }
        processes[process.processIdentifier] = process
        do {
            _ = try await process.wait()
        } catch {
            await process.send(.kill)
            _ = await Task { try await process.wait() }.result
        }
        processes[process.processIdentifier] = nil
    }
}
