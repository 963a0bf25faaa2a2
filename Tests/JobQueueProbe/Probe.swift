import ArgumentParser
import Foundation
import JobQueue
import Logging
import Redis

/// A worker and a producer in a process of their own: what the tests kill and the benchmark measures.
@main struct Probe: AsyncParsableCommand {
    static let configuration = CommandConfiguration(subcommands: [Work.self, Add.self])
}

struct QueueOptions: ParsableArguments {
    @Option var url: String
    @Option var queue: String

    func withQueue<R>(_ body: (JobQueue, Logger) async throws -> R) async throws -> R {
        var logger = Logger(label: "probe") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .error
        let redis = try RedisClient(url: url, logger: logger)
        let result = try await body(JobQueue(name: queue, redis: redis), logger)
        await redis.close()
        return result
    }
}

/// Works until it is killed. A job's data say what becomes of it, as `JobQueueTests/Python/driver.py` describes.
struct Work: AsyncParsableCommand {
    @OptionGroup var options: QueueOptions
    @Option var name = "probe"
    @Option var concurrency = 1
    @Option(help: "Milliseconds.") var lock = 30_000
    @Option(help: "Milliseconds.") var stalled = 30_000
    @Option var maxStalls = 1

    private struct Orders: Decodable {
        let sleep: Int?
        let hang: Int?
        let fail: Int?
    }

    private struct AsTold: Error, CustomStringConvertible { let description = "as told" }

    func run() async throws {
        try await options.withQueue { queue, logger in
            var rules = QueueWorker.Options()
            rules.maxStalledCount = maxStalls
            let worker = QueueWorker(
                queue: queue, name: name, concurrency: concurrency, lockDuration: .milliseconds(lock),
                stalledInterval: .milliseconds(stalled), options: rules, logger: logger
            ) { job, _ in
                guard job.data != "{}" else { return nil }
                let orders = try JSONDecoder().decode(Orders.self, from: Data(job.data.utf8))
                if job.stalledCount < orders.hang ?? 0 { try await ContinuousClock().sleep(for: .seconds(3_600)) }
                if let sleep = orders.sleep { try await ContinuousClock().sleep(for: .milliseconds(sleep)) }
                if job.attemptsMade < orders.fail ?? 0 { throw AsTold() }
                return nil
            }
            try await worker.run()
        }
    }
}

/// Adds empty jobs and prints how many seconds that took.
struct Add: AsyncParsableCommand {
    @OptionGroup var options: QueueOptions
    @Option var count = 10_000
    @Option(help: "Adds under way at once.") var concurrency = 1
    @Flag(help: "By bulk, 200 at a time.") var bulk = false

    func run() async throws {
        let seconds = try await options.withQueue { queue, _ in
            try await queue.add("warm", data: "{}", options: JobOptions(delay: .seconds(86_400)))
            let began = ContinuousClock.now
            if bulk {
                try await queue.add((0..<count).map { _ in NewJob("x", data: "{}") })
            } else {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for lane in 0..<concurrency {
                        let share = count / concurrency + (lane < count % concurrency ? 1 : 0)
                        group.addTask { for _ in 0..<share { try await queue.add("x", data: "{}") } }
                    }
                    try await group.waitForAll()
                }
            }
            return began.duration(to: .now) / .seconds(1)
        }
        print(seconds)
    }
}
