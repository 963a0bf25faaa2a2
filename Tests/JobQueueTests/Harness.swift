import EventLoop
import Foundation
import Logging
import Redis
import Synchronization
import TestSupport
import Testing

@testable import JobQueue

@Suite(LiveRedis()) enum Live {}

/// A queue of a test's own, and its keys looked at raw.
struct Harness {
    let redis: RedisClient
    let queue: JobQueue
    let clock: Clock
    let logger: Logger

    /// Milliseconds as the test sets them; at first those of the wall.
    final class Clock: Sendable {
        private let fixed = Mutex<Int?>(nil)
        var now: Int {
            get { fixed.withLock { $0 } ?? Date().milliseconds }
            set { fixed.withLock { $0 = newValue } }
        }
    }

    static func with<R>(
        url: String = LiveRedis.url, name: String = "q \(UUID())", _ body: (Harness) async throws -> R
    ) async throws -> R {
        var logger = Logger(label: "martlet.jobqueue.test")
        logger.logLevel = .critical
        let redis = try RedisClient(url: url, logger: logger)
        let clock = Clock()
        let queue = JobQueue(name: name, redis: redis, prefix: "bull", now: { clock.now })
        do {
            let result = try await body(Harness(redis: redis, queue: queue, clock: clock, logger: logger))
            await redis.close()
            return result
        } catch {
            await redis.close()
            throw error
        }
    }

    func key(_ suffix: String) -> RedisArgument { "\(queue.key(suffix))" }

    func hash(_ id: String) async throws -> [String: String] { try await redis.command("HGETALL", key(id)).fields }

    /// Leftmost first.
    func list(_ suffix: String) async throws -> [String] {
        (try await redis.command("LRANGE", key(suffix), 0, -1).elements ?? []).compactMap { $0.text }
    }

    /// Member to score.
    func scores(_ suffix: String) async throws -> [String: Int] {
        let fields = try await redis.command("ZRANGE", key(suffix), 0, -1, "WITHSCORES").fields
        return fields.compactMapValues { Double($0).map { Int($0) } }
    }

    /// Names of the events of a job (nil: all), oldest first.
    func events(of id: String? = nil) async throws -> [String] {
        try await eventFields().filter { id == nil || $0["jobId"] == id }.compactMap { $0["event"] }
    }

    func eventFields() async throws -> [[String: String]] {
        let entries = try await redis.command("XRANGE", key("events"), "-", "+").elements ?? []
        return entries.compactMap { $0.elements?.last?.fields }
    }

    func worker(
        _ name: String = "w", concurrency: Int = 1, lock: Duration = .seconds(30), stalled: Duration = .seconds(30),
        handler: @escaping QueueWorker.Handler = { _, _ in nil }
    ) -> QueueWorker {
        QueueWorker(
            queue: queue, name: name, concurrency: concurrency, lockDuration: lock, stalledInterval: stalled,
            logger: logger, handler: handler)
    }

    /// Runs the worker while `body` runs, then cancels it.
    @discardableResult
    func working<R>(_ workers: QueueWorker..., while body: () async throws -> R) async throws -> R {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in workers { group.addTask { try await worker.run() } }
            let result = try await body()
            group.cancelAll()
            return result
        }
    }

    /// Takes the next job by hand.
    func take(_ worker: QueueWorker, token: String) async throws -> Job? {
        if case .job(let job) = try await worker.fetch(token: token) { job } else { nil }
    }

    /// Waits until so many connections of a queue's workers (`bzpopmin`) or listeners (`xread`) block.
    func blocked(_ count: Int = 1, in command: String = "bzpopmin") async throws {
        try await eventually(describing: "\(count) connections in \(command)") {
            let clients = try await redis.command("CLIENT", "LIST").text ?? ""
            let owners = ["name=\(queue.connectionName(suffix: ""))", "name=\(queue.prefix):\(queue.name)"]
            return clients.split(separator: "\n").count { line in
                line.contains(" cmd=\(command) ") && (command == "xread" || owners.contains { line.contains($0) })
            } >= count
        }
    }

    /// Waits for a state of a job, and returns the job.
    @discardableResult
    func job(_ id: String, in state: JobState, within limit: Duration = .seconds(20)) async throws -> Job? {
        try await eventually(
            within: limit, describing: "job \(id) \(state)", read: { try await queue.job(id) },
            until: { $0?.state == state })
    }
}

struct Refused: Error, CustomStringConvertible {
    var description = "refused by the handler"
}

/// What handlers leave for the test to read.
final class Journal: Sendable {
    private let rows = Mutex<[String]>([])
    func add(_ row: String) { rows.withLock { $0.append(row) } }
    var all: [String] { rows.withLock { $0 } }
}
