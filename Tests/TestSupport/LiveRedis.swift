import EventLoop
import Foundation
import Logging
import Redis
package import Testing

/// One real Redis for every test under a suite, on a unix socket in its own directory: no port can clash. Where
/// `redis-server` is not installed the tests are left out with a printed reason, and fail in continuous integration.
package struct LiveRedis: SuiteTrait, TestScoping {
    /// `unix://…` of the server that runs now.
    @TaskLocal package static var url = ""

    package init() {}

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard ProcessInfo.processInfo.environment["CI"] != nil || RedisServer.isInstalled else {
            return print("skipped: \(test.name), for redis-server is not installed")
        }
        try await RedisServer.with { server in
            try await Self.$url.withValue(server.url) { try await tests() }
        }
    }
}

/// A Redis of a test's own, to be stopped and started. Its data survive that.
package actor RedisServer {
    package nonisolated let url: String
    private let directory: String
    private var process: ChildProcess?

    static var isInstalled: Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .contains { FileManager.default.isExecutableFile(atPath: "\($0)/redis-server") }
    }

    private init(directory: String) {
        self.directory = directory
        url = "unix://\(directory)/redis.sock"
    }

    /// Lends a running server.
    package static func with<R>(_ body: (RedisServer) async throws -> R) async throws -> R {
        try await withTemporaryDirectory { directory in
            let server = RedisServer(directory: directory)
            try await server.start()
            do {
                let result = try await body(server)
                try await server.stop()
                return result
            } catch {
                try? await Task { try await server.stop() }.value  // although the caller may be cancelled
                throw error
            }
        }
    }

    /// Starts it and returns when it answers.
    package func start() async throws {
        var command = ChildProcess.Command(
            "redis-server",
            [
                "--port", "0", "--unixsocket", "\(directory)/redis.sock", "--dir", directory, "--save", "",
                "--appendonly", "yes", "--appendfsync", "no",
            ])
        command.output = .appending(path: "\(directory)/redis.log")
        command.error = command.output
        command.endsWithParent = .kill
        process = try await ChildProcess.start(command)
        do {
            var logger = Logger(label: "martlet.redis.test")
            logger.logLevel = .critical  // that the socket is not there yet is no news
            try await RedisConnection.withConnection(url: url, logger: logger) { try await $0.command("PING") }
        } catch {
            print((try? String(contentsOfFile: "\(directory)/redis.log", encoding: .utf8)) ?? "no log")
            throw error
        }
    }

    package func stop() async throws { try await end(by: .terminate) }

    package func kill() async throws { try await end(by: .kill) }

    private func end(by signal: ChildProcess.Signal) async throws {
        guard let process else { return }
        self.process = nil
        await process.send(signal)
        _ = try await process.wait()
    }
}
