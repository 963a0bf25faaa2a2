package import EventLoop
import Foundation
package import HTTPTransport
import Synchronization
import Testing

/// A real `martlet up` with everything it starts, in directories of its own and on a port of its own: what the
/// acceptance tests talk to.
///
///     try await LiveMartlet.withMartlet { martlet in
///         let events = try await martlet.execute(#"{"language": "python", "code": "print(42)"}"#)
///     }
///
/// The binary is the one built beside the tests (`MARTLET_BINARY` names another). It is sent SIGTERM should this process
/// die. Where something it needs is missing, tests that ask for it are skipped with that reason, and fail if `CI` is
/// `true`.
package final class LiveMartlet: Sendable {
    package let directory: String
    package let http = HTTPClient()
    private let arguments: [String]
    private let variables: [String: String]
    private let wrapper: [String]
    private let current = Mutex<MartletProcess?>(nil)
    private let starts = Mutex(0)

    package var dataDirectory: String { "\(directory)/data" }
    package var configurationDirectory: String { "\(directory)/config/martlet" }

    private init(directory: String, arguments: [String], environment: [String: String], wrapper: [String]) {
        self.directory = directory
        self.arguments = arguments
        variables = environment
        self.wrapper = wrapper
    }

    /// Starts one, lends it when it is ready, and stops it: by SIGTERM, unless `body` has ended it already. Throws
    /// ``Leftovers`` if a process or mount of it is there afterwards.
    /// - Parameters:
    ///   - arguments: more of them for `martlet up`.
    ///   - wrapper: words of a command that executes the rest, before every command.
    package static func withMartlet<Result>(
        _ arguments: [String] = [], environment: [String: String] = [:], wrapper: [String] = [],
        _ body: (LiveMartlet) async throws -> Result
    ) async throws -> Result {
        try requireBuilt()
        let directory = try makeTemporaryDirectory()
        chmod(directory, 0o711)  // as root, the servers run as other users
        let martlet = LiveMartlet(
            directory: directory, arguments: arguments, environment: environment, wrapper: wrapper)
        do {
            try await martlet.start()
            let result = try await body(martlet)
            try await martlet.tearDown()
            return result
        } catch {
            await Task { try? await martlet.tearDown() }.value  // although this task may be cancelled
            throw error
        }
    }

    // MARK: Life

    /// Starts `martlet up` and returns when it is ready: at the beginning, and again after ``stop()`` or ``kill()``.
    package func start() async throws {
        let process = try await startProcess("up", ["--host", "127.0.0.1", "--port", "0"] + arguments)
        current.withLock { $0 = process }
        try await process.awaitReady()
    }

    /// Asks it to end, and waits until it has.
    @discardableResult
    package func stop() async throws -> ChildProcess.Ending? { try await end(.terminate) }

    /// Ends it by SIGKILL: it can clean nothing up.
    package func kill() async throws { _ = try await end(.kill) }

    package var processIdentifier: Int32? { current.withLock { $0?.child.processIdentifier } }

    private func end(_ signal: ChildProcess.Signal) async throws -> ChildProcess.Ending? {
        guard let process = current.withLock({ $0 }) else { return nil }
        let ending = try await process.end(signal)
        current.withLock { $0 = nil }
        return ending
    }

    /// Lends a further gateway that uses the servers of this one.
    package func withGateway<Result>(
        _ arguments: [String] = [], _ body: (MartletProcess) async throws -> Result
    ) async throws -> Result {
        try await withProcess("gateway", ["--host", "127.0.0.1", "--port", "0"] + arguments, body)
    }

    /// Lends a further worker that uses the servers of this one. (`withMartlet(["--no-worker"])` starts without any.)
    package func withWorker<Result>(
        _ arguments: [String] = [], _ body: (MartletProcess) async throws -> Result
    ) async throws -> Result {
        try await withProcess("worker", arguments, body)
    }

    private func withProcess<Result>(
        _ role: String, _ arguments: [String], _ body: (MartletProcess) async throws -> Result
    ) async throws -> Result {
        let process = try await startProcess(role, arguments)
        do {
            try await process.awaitReady()
            let result = try await body(process)
            try await process.end(.terminate)
            return result
        } catch {
            await Task { _ = try? await process.end(.kill) }.value
            throw error
        }
    }

    private func startProcess(_ role: String, _ arguments: [String]) async throws -> MartletProcess {
        let number = starts.withLock { number in
            number += 1
            return number
        }
        var command = command(
            [role, "--json", "--log-format", "json", "--log-level", "debug", "--data-dir", dataDirectory] + arguments)
        let output = "\(directory)/\(role)-\(number).jsonl"
        let log = "\(directory)/\(role)-\(number).log"
        command.output = .appending(path: output)
        command.error = .appending(path: log)
        command.endsWithParent = .terminate
        return MartletProcess(
            role: role, child: try await ChildProcess.start(command), outputPath: output, logPath: log)
    }

    private func tearDown() async throws {
        try await stop()
        let left = leftovers()
        let mounts = Self.mounts(under: directory)
        if mounts.isEmpty { try? FileManager.default.removeItem(atPath: directory) }  // never into a mount
        if !left.isEmpty { throw Leftovers(description: left.joined(separator: "\n")) }
    }

    /// What of it is still there: processes that name its directory, and mounts in it.
    package func leftovers() -> [String] {
        let own = ProcessInfo.processInfo.processIdentifier
        let processes = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return Self.mounts(under: directory)
            + processes.compactMap(Int32.init).filter { $0 != own }.compactMap { process in
                let data = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
                let words = data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
                guard words.contains(where: { $0.contains(directory) }) else { return nil }
                return "process \(process): \(words.joined(separator: " "))"
            }
    }

    private static func mounts(under directory: String) -> [String] {
        let table = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        return table.split(separator: "\n").filter { $0.contains(" \(directory)/") }.map { "mount \($0)" }
    }

    package struct Leftovers: Error, CustomStringConvertible {
        package let description: String
    }

    // MARK: Calling it

    package var url: String {
        get throws {
            guard let process = current.withLock({ $0 }) else {
                throw NeverHappened(awaited: "a running martlet", limit: .zero, lastSeen: "it was stopped")
            }
            return try process.url
        }
    }

    /// The first admin's token, from the file `martlet up` keeps it in.
    package var token: String {
        get throws {
            let data = try Data(contentsOf: URL(filePath: "\(configurationDirectory)/credentials.json"))
            struct File: Decodable { let token: String }
            return try JSONDecoder().decode(File.self, from: data).token
        }
    }

    /// A request with the admin's token, or `token`, or none if that is empty; to another gateway if `url` is given.
    package func request(
        _ method: String, _ path: String, json: String? = nil, accept: String? = nil, token: String? = nil,
        url: String? = nil, timeout: Duration? = .seconds(120)
    ) throws -> HTTPRequest {
        let token = try token ?? self.token
        var headers: [(String, String)] = token.isEmpty ? [] : [("Authorization", "Bearer \(token)")]
        if let accept { headers.append(("Accept", accept)) }
        if json != nil { headers.append(("Content-Type", "application/json")) }
        return HTTPRequest(
            method, try (url ?? self.url) + path, headers: headers, body: json.map { Array($0.utf8) },
            timeout: timeout)
    }

    package func send(
        _ method: String, _ path: String, json: String? = nil, accept: String? = nil, token: String? = nil,
        url: String? = nil
    ) async throws -> HTTPResponse {
        try await http.send(
            request(method, path, json: json, accept: accept, token: token, url: url), bodyLimit: 512 << 20)
    }

    /// Posts an execution and collects its events. Throws ``Refused`` if the answer is not a stream.
    package func execute(_ json: String, token: String? = nil, url: String? = nil) async throws -> [MartletEvent] {
        var events: [MartletEvent] = []
        try await withEvents(json, token: token, url: url) { for try await event in $0 { events.append(event) } }
        return events
    }

    /// Posts an execution and lends its events as they come. Leaving the closure closes the connection.
    package func withEvents<Result>(
        _ json: String, token: String? = nil, url: String? = nil, _ body: (MartletEvents) async throws -> Result
    ) async throws -> Result {
        let request = try request(
            "POST", "/v1/execute", json: json, accept: "application/x-ndjson", token: token, url: url, timeout: nil)
        return try await http.stream(request) { response in
            guard response.status == 200 else {
                var text: [UInt8] = []
                for try await chunk in response { text += chunk }
                throw Refused(status: response.status, body: String(decoding: text, as: UTF8.self))
            }
            return try await body(MartletEvents(response: response))
        }
    }

    package struct Refused: Error {
        package let status: Int
        package let body: String
    }

    // MARK: The command line

    /// A command of the binary with this one's configuration, to be run or started.
    package func command(_ arguments: [String]) -> ChildProcess.Command {
        let words = wrapper + [Self.binary] + arguments
        var command = ChildProcess.Command(words[0], Array(words.dropFirst()))
        command.environment = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin",
            "HOME": "\(directory)/home", "XDG_CONFIG_HOME": "\(directory)/config", "LC_ALL": "C.UTF-8",
        ].merging(variables) { _, new in new }
        return command
    }

    /// Runs a command of the binary to its end, with variables besides those that all have.
    package func run(
        _ arguments: [String], input: [UInt8] = [], variables: [String: String] = [:],
        deadline: Duration = .seconds(120)
    ) async throws -> ChildProcess.Output {
        var command = command(arguments)
        command.environment?.merge(variables) { $1 }
        let path = "\(directory)/input-\(UUID())"
        try Data(input).write(to: URL(filePath: path))
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer {
            close(descriptor)
            unlink(path)
        }
        command.input = .descriptor(descriptor)
        return try await ChildProcess.run(command, deadline: deadline, limit: 512 << 20)
    }

    /// Writes a file to run, and returns its path.
    package func file(_ name: String, _ text: String) throws -> String {
        let path = "\(directory)/\(name)"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    package static let binary: String = {
        if let path = ProcessInfo.processInfo.environment["MARTLET_BINARY"] { return path }
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/martlet"
    }()

    /// Cancels the test, saying why, if the binary or the runner has not been built; fails it in CI.
    private static func requireBuilt() throws {
        let runner = ((binary as NSString).deletingLastPathComponent as NSString).appendingPathComponent(
            "../../sandbox/martlet-runner")
        let missing = [binary, runner].filter { !FileManager.default.isExecutableFile(atPath: $0) }
        guard let first = missing.first else { return }
        let reason = NeverHappened(
            awaited: "'make runner' and a build of all products", limit: .zero, lastSeen: "no '\(first)'")
        if ProcessInfo.processInfo.environment["CI"] == "true" { throw reason }
        try Test.cancel("\(reason)")
    }
}

/// One process of the binary in the role of a server.
package struct MartletProcess: Sendable {
    package let role: String
    package let child: ChildProcess
    package let outputPath: String
    package let logPath: String

    /// Ends it and waits for that; kills it if SIGTERM was not enough.
    @discardableResult
    package func end(_ signal: ChildProcess.Signal) async throws -> ChildProcess.Ending {
        await child.send(signal)
        do {
            return try await withDeadline(.seconds(90), "end of 'martlet \(role)'") { try await child.wait() }
        } catch let error as DeadlineExceeded {
            await child.send(.kill)
            throw NeverHappened(awaited: error.awaited, limit: error.limit, lastSeen: logTail)
        }
    }

    /// What it said so far, an object a line.
    package var output: [MartletOutput] {
        let text = (try? String(contentsOfFile: outputPath, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(MartletOutput.self, from: Data($0.utf8))
        }
    }

    package var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

    private var logTail: String { log.split(separator: "\n").suffix(30).joined(separator: "\n") }

    package var url: String {
        get throws {
            guard let url = output.last(where: { $0.event == "ready" })?.url else {
                throw NeverHappened(awaited: "the URL of '\(role)'", limit: .zero, lastSeen: "\(output)")
            }
            return url
        }
    }

    func awaitReady() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                let ending = try await child.wait()
                throw NeverHappened(
                    awaited: "'martlet \(role)' ready", limit: .zero, lastSeen: "it \(ending); its log:\n\(logTail)")
            }
            group.addTask {
                do {
                    try await eventually(
                        within: .seconds(120), describing: "'martlet \(role)' ready", read: { output.map(\.event) },
                        until: { $0.contains("ready") })
                } catch let error as NeverHappened {
                    throw NeverHappened(
                        awaited: error.awaited, limit: error.limit, lastSeen: "\(error.lastSeen), its log:\n\(logTail)")
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}

/// A line of what `--json` prints.
package struct MartletOutput: Decodable, Sendable {
    package let event: String
    package let step: String?
    package let state: String?
    package let detail: String?
    package let url: String?
    package let message: String?
}
