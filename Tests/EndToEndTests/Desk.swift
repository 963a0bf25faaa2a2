import EventLoop
import Foundation
import TestSupport
import Testing

/// A user's machine: keys in a home, and the programs that are called with it.
struct Desk {
    let martlet: LiveMartlet
    var home: String { "\(martlet.directory)/home" }
    var configuration: [String] { ["-F", "\(home)/.ssh/config", "-o", "BatchMode=yes"] }

    func run(
        _ program: String, _ arguments: [String], variables: [String: String] = [:],
        deadline: Duration = .seconds(120)
    ) async throws -> ChildProcess.Output {
        var command = ChildProcess.Command(program, arguments)
        command.environment = martlet.command([]).environment?.merging(variables) { $1 }
        return try await ChildProcess.run(command, deadline: deadline, limit: 16 << 20)
    }

    func ssh(
        key: String = "id_ed25519", _ arguments: String..., variables: [String: String] = [:]
    ) async throws -> ChildProcess.Output {
        let identity = ["-o", "IdentitiesOnly=yes", "-i", "\(home)/.ssh/\(key)"]
        return try await run("ssh", configuration + identity + arguments, variables: variables)
    }

    func make(key: String) async throws {
        try FileManager.default.createDirectory(atPath: "\(home)/.ssh", withIntermediateDirectories: true)
        let made = try await run(
            "ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "of \(key)", "-f", "\(home)/.ssh/\(key)"])
        #expect(made.ending.isSuccess, "\(made.errorText)")
    }

    /// Of all files of a tree, whatever machine it is on.
    static let digest = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
}
