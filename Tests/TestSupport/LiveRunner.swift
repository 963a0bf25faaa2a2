import Cryptography
import EventLoop
import Foundation
import Testing

/// A real runner of a test's own, as a service on loopback, with a home and a copy of the runtimes. Where it is not
/// built, or the tests do not run as root, the test is skipped with that reason, and fails in continuous integration.
package struct RunnerServer: Sendable {
    package let port: Int
    package let secret: String
    /// Of the programs' user.
    package let home: String
    /// The sources' own runtimes: what the server copied.
    package static var runtimes: String { "\(root)/runtimes" }

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path(percentEncoded: false)
    package static var program: String { "\(root)/.build/sandbox/martlet-runner" }
    /// The programs' user: an id that nobody else on the machine has.
    package static let user = 4_611

    package struct Unavailable: Error, CustomStringConvertible {
        package let description: String
    }

    /// Lends a running server.
    package static func with<Result>(_ body: (RunnerServer) async throws -> Result) async throws -> Result {
        guard getuid() == 0, FileManager.default.isExecutableFile(atPath: program) else {
            let reason = Unavailable(description: "It needs root, and \(program): make runner.")
            if ProcessInfo.processInfo.environment["CI"] != nil { throw reason }
            try Test.cancel("\(reason)")
        }
        // Not below /tmp: a run sees its own /tmp only.
        var template = Array("/var/lib/martlet-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        chmod(directory, 0o755)
        let server = try await start(in: directory)
        do {
            let result = try await body(server.runner)
            await stop(server.process)
            return result
        } catch {
            await stop(server.process)
            throw error
        }
    }

    private static func start(in directory: String) async throws -> (process: ChildProcess, runner: RunnerServer) {
        let home = "\(directory)/home"
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: false)
        chown(home, uid_t(user), gid_t(user))
        try FileManager.default.copyItem(atPath: runtimes, toPath: "\(directory)/runtimes")
        try FileManager.default.copyItem(atPath: program, toPath: "\(directory)/martlet-runner")
        let secret = try Random.hex(32)
        let configuration: [String: Any] = [
            "secret": secret, "port": 0, "runtimes": "\(directory)/runtimes", "cgroup": NSNull(),
            "user": ["name": "martlet", "uid": user, "gid": user, "home": home] as [String: Any],
            "limits": ["memoryMb": 4_096, "processes": 512, "outputBytes": 1 << 30, "timeoutMs": 600_000],
        ]
        let file = "\(directory)/config.json"
        _ = FileManager.default.createFile(
            atPath: file, contents: try JSONSerialization.data(withJSONObject: configuration),
            attributes: [.posixPermissions: 0o600])
        var command = ChildProcess.Command("\(directory)/martlet-runner", ["serve", "--config", file])
        command.error = .appending(path: "\(directory)/log")
        command.endsWithParent = .terminate
        let process = try await ChildProcess.start(command)
        do {
            let log = try await eventually(
                describing: "runner listening",
                read: { (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? "" },
                until: { port(in: $0) != nil })
            return (process, RunnerServer(port: port(in: log) ?? 0, secret: secret, home: home))
        } catch {
            await stop(process)
            throw error
        }
    }

    private static func port(in log: String) -> Int? {
        let line = log.split(separator: "\n").first { $0.contains("listening on 127.0.0.1:") }
        return line?.split(separator: ":").last.flatMap { Int($0.prefix { $0.isNumber }) }
    }

    private static func stop(_ process: ChildProcess) async {
        await process.send(.terminate)
        _ = await Task { try await process.wait() }.result  // although the caller may be cancelled
    }
}
