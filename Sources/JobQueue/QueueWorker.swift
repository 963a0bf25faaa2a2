import EventLoop
import Foundation
package import Logging
import Redis
import ServiceLifecycle

/// Takes jobs off a queue and runs a handler on each, at most ``concurrency`` at once.
///
/// Theory of operation. One task takes jobs while a slot is free and starts a *lane* for each; a lane runs its job,
/// and the script that tells how it ended fetches the next, so that a busy worker needs one round trip a job. A lane
/// that gets none ends. When nothing is to be had and a slot is free, the first task blocks on the queue's marker,
/// over a connection of its own that carries the worker's name. Beside it run the renewal of locks (every quarter of
/// their duration) and the stalled pass (at once and every ``stalledInterval``).
///
/// Graceful shutdown: no job is taken any more, running ones end, `run()` returns. Cancellation: handlers are
/// cancelled, and a job whose handler then throws is given back without counting the attempt. Killed: locks run out
/// and some worker's stalled pass gives the jobs back. A handler is cancelled when its job's lock was lost, or could
/// not be renewed for as long as it holds: another worker may have the job, and what this one says is not heard.
package final class QueueWorker: Service {
    package typealias Handler = @Sendable (Job, JobContext) async throws -> String?

    let queue: JobQueue
    let name: String
    let concurrency: Int
    let lockDuration: Duration
    let stalledInterval: Duration
    let options: Options
    let logger: Logger
    let handler: Handler
    let leases = LeaseTable()
    let slots: Slots
    let stop = StopSignal()

    /// What seldom differs from worker to worker.
    package struct Options: Sendable {
        package var rateLimit: RateLimit?  // counted over all workers that have one
        package var maxStalledCount = 1  // times that a job may be lost with its worker before it fails
        package var removeOnComplete = Retention.keepAll  // for jobs that do not say
        package var removeOnFail = Retention.keepAll
        package var metricsMinutes = 0  // how many of them are kept; 0: none are collected
        package var drainDelay = Duration.seconds(5)  // longest wait for a marker

        package init() {}
    }

    /// The handler returns JSON text or nil. What it throws fails the attempt; ``UnrecoverableJobError`` the job, and
    /// ``DelayedJob`` puts it off.
    package init(
        queue: JobQueue, name: String, concurrency: Int, lockDuration: Duration = .seconds(30),
        stalledInterval: Duration = .seconds(30), options: Options = Options(), logger: Logger,
        handler: @escaping Handler
    ) {
        precondition(concurrency > 0, "a worker without a slot")
        self.queue = queue
        self.name = name
        self.concurrency = concurrency
        self.lockDuration = lockDuration
        self.stalledInterval = stalledInterval
        self.options = options
        var logger = logger
        logger[metadataKey: "queue"] = "\(queue.name)"
        logger[metadataKey: "worker"] = "\(name)"
        self.logger = logger
        self.handler = handler
        slots = Slots(concurrency)
    }

    /// Works until graceful shutdown or cancellation; once. Outages of the server are waited out. Throws
    /// `.unsupportedQueue` if the queue has schedulers or flows at the start; if they come later, it takes no job as long
    /// as they are there.
    package func run() async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await queue.redis.withBlockingConnection(name: queue.connectionName(suffix: ":w:\(name)")) { blocking in
                try await withThrowingDiscardingTaskGroup { keepers in
                    keepers.addTask { await self.renewLocks() }
                    keepers.addTask { await self.recoverStalledJobs() }
                    try await withThrowingDiscardingTaskGroup { lanes in
                        try await takeJobs(waitingOn: blocking, into: &lanes)
                    }
                    keepers.cancelAll()
                }
            }
        } onCancelOrGracefulShutdown: { [stop] in
            stop.give()
        }
    }

    // MARK: Taking

    private func takeJobs(
        waitingOn blocking: RedisConnection, into lanes: inout ThrowingDiscardingTaskGroup<any Error>
    ) async throws {
        let identity = UUID().uuidString.lowercased()
        var number = 0
        var isAttached = false
        while !stop.isGiven, !Task.isCancelled {
            do {
                if !isAttached {
                    try await queue.requireSupported()
                    isAttached = true
                }
                try await stop.interrupting { [slots] in try await slots.available() }
                let token = "\(identity):\(number)"
                number += 1
                // Whole although cancelled: a job taken by a request that nobody waits for would be lost for a while.
                switch try await shielded({ try await self.fetch(token: token) }) {
                case .job(let job):
                    slots.take()
                    lanes.addTask { [slots] in
                        await self.runLane(startingWith: job, token: token)
                        slots.release()
                    }
                case .none: try await waitForMarker(on: blocking, nextRunAt: nil)
                case .scheduled(let time): try await waitForMarker(on: blocking, nextRunAt: time)
                case .limited(let milliseconds): try await rest(for: .milliseconds(min(milliseconds, 30_000)))
                }
            } catch is CancellationError {
                continue  // the loop's condition tells which
            } catch let error as JobQueueError {
                guard isAttached, error.code == .unsupportedQueue else { throw error }
                logger.error("no job is taken", metadata: ["reason": "\(error)"])
                try? await rest(for: options.drainDelay)
            } catch let error as RedisError where error.code == .closed {
                throw error
            } catch {
                logger.warning("queue not reached", metadata: ["reason": "\(error)"])
                try? await rest(for: .milliseconds(500))
            }
        }
    }

    private func rest(for duration: Duration) async throws {
        try await stop.interrupting { try await ContinuousClock().sleep(for: duration) }
    }

    /// Blocks until a job may be there: a marker of now was popped, its time came, or ``drainDelay`` is over
    /// (sheet, section 5).
    private func waitForMarker(on blocking: RedisConnection, nextRunAt: Int?) async throws {
        var nextRunAt = nextRunAt
        while true {
            var wait = options.drainDelay.milliseconds
            if let nextRunAt { wait = min(nextRunAt - queue.now(), 10_000) }
            guard wait > 0 else { return }
            let seconds = String(format: "%.3f", Double(max(2, wait)) / 1_000)
            let limit = Duration.milliseconds(wait) + RedisConnection.replyLimit
            let key = queue.key("marker")
            let reply = try await stop.interrupting {
                try await blocking.command(["BZPOPMIN", RedisArgument(key), RedisArgument(seconds)], replyLimit: limit)
            }
            guard let popped = reply.elements, popped.count == 3, let text = popped[2].text,
                let score = Double(text), let time = Int(exactly: score.rounded(.up)), time > queue.now()
            else { return }
            nextRunAt = time
        }
    }

    // MARK: Keeping

    private func renewLocks() async {
        let interval = lockDuration / 4
        while (try? await ContinuousClock().sleep(for: interval)) != nil {
            let due = leases.all.filter { !$0.isLost && $0.isOlder(than: interval / 2) }
            guard !due.isEmpty else { continue }
            let began = ContinuousClock.now
            do {
                let lost = try await withDeadline(interval, "renewal of locks") { try await self.extendLocks(of: due) }
                for lease in due {
                    if lost.contains(lease.job) { lease.lose() } else { lease.renewed(at: began) }
                }
            } catch is CancellationError {
                return
            } catch {
                logger.warning("locks not renewed", metadata: ["reason": "\(error)"])
            }
            for lease in due where lease.isOlder(than: lockDuration - interval) { lease.lose() }
        }
    }

    private func recoverStalledJobs() async {
        repeat {
            do {
                let recovered = try await recoverStalled()
                if !recovered.isEmpty {
                    logger.warning("jobs of silent workers put back", metadata: ["jobs": "\(recovered)"])
                }
            } catch is CancellationError {
                return
            } catch {
                logger.warning("stalled jobs not looked for", metadata: ["reason": "\(error)"])
            }
        } while (try? await ContinuousClock().sleep(for: stalledInterval)) != nil
    }
}
