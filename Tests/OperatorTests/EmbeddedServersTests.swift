import EventLoop
import Foundation
import Logging
import Operator
import TestSupport
import Testing

/// The servers of `martlet up`, for real, in a directory of their own.
@Suite struct EmbeddedServersTests {
    let logger = Logger(label: "martlet.test")

    @Test func postgresKeepsItsDataFromRunToRunAndLeavesNothing() async throws {
        try await withDataDirectory { directory in
            let postgres = try EmbeddedPostgres(in: directory, logger: logger)
            try await postgres.withRunning {
                let made = try await psql(postgres.url, "CREATE TABLE kept AS SELECT 42 AS n")
                #expect(made == "SELECT 1")
            }
            try await postgres.withRunning {
                let kept = try await psql(postgres.url, "SELECT n FROM kept")
                #expect(kept == "42")
            }
            #expect(try FileLock.take("\(directory.path)/postgresql.lock") != nil)
        }
    }

    @Test func aServerThatDiesIsStartedAgain() async throws {
        try await withDataDirectory { directory in
            let postgres = try EmbeddedPostgres(in: directory, logger: logger)
            try await postgres.withRunning {
                let pidFile = "\(directory.path)/postgresql/data/postmaster.pid"
                let first = try #require(try postmaster(pidFile))
                kill(first, SIGKILL)
                try await eventually(within: .seconds(30), describing: "another server answers") {
                    guard let now = try postmaster(pidFile), now != first else { return false }
                    return (try? await psql(postgres.url, "SELECT 1")) == "1"
                }
            }
        }
    }

    @Test func redisAnswersAndKeepsWhatItWasTold() async throws {
        try await withDataDirectory { directory in
            let redis = EmbeddedRedis(in: directory, logger: logger)
            let socket = String(redis.url.dropFirst("unix://".count))
            let set = try await redis.withRunning { try await redisCLI(socket, "SET", "kept", "42") }
            let kept = try await redis.withRunning { try await redisCLI(socket, "GET", "kept") }
            #expect(set == "OK")
            #expect(kept == "42")
        }
    }

    @Test func aServerThatCannotStartSaysWhyWithTheEndOfItsLog() async throws {
        try await withDataDirectory { directory in
            let redis = EmbeddedRedis(in: directory, logger: logger)
            try await redis.withRunning {}
            let log = "\(directory.path)/redis/appendonlydir/appendonly.aof.manifest"
            try "nonsense".write(toFile: log, atomically: false, encoding: .utf8)
            let error = await #expect(throws: OperatorError.self) { try await redis.withRunning {} }
            #expect(error?.code == .serverFailed)
            #expect(error?.message.contains("AOF") == true)
        }
    }

    @Test func aLongDataDirectoryStillHasReachableSockets() async throws {
        let long = "/tmp/" + String(repeating: "d", count: 120)
        let directory = DataDirectory(path: long, environment: [:])
        #expect(!directory.runtimePath.hasPrefix(long))
        #expect(DataDirectory(path: long, environment: [:]).runtimePath == directory.runtimePath)
        #expect(DataDirectory(path: long + "e", environment: [:]).runtimePath != directory.runtimePath)
    }

    /// A data directory under a parent that the servers' users may pass.
    private func withDataDirectory(_ body: (DataDirectory) async throws -> Void) async throws {
        try await withTemporaryDirectory { path in
            chmod(path, 0o711)
            let directory = DataDirectory(path: "\(path)/data")
            try directory.prepare()
            try await body(directory)
        }
    }

    private func postmaster(_ path: String) throws -> Int32? {
        let lines = (try? String(contentsOfFile: path, encoding: .utf8))?.split(separator: "\n") ?? []
        return lines.first.flatMap { Int32($0) }
    }

    private func psql(_ url: String, _ statement: String) async throws -> String {
        let command = ChildProcess.Command("/usr/bin/psql", ["-XAtd", url, "-c", statement])
        let result = try await ChildProcess.run(command, deadline: .seconds(20))
        return (result.text + result.errorText).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private func redisCLI(_ socket: String, _ arguments: String...) async throws -> String {
        let command = ChildProcess.Command("/usr/bin/redis-cli", ["-s", socket] + arguments)
        let result = try await ChildProcess.run(command, deadline: .seconds(20))
        return result.text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
