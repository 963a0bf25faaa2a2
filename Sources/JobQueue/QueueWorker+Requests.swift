import Foundation
import Redis

/// What came of asking for a job.
enum Fetched: Sendable {
    case job(Job)
    case scheduled(Int)  // nothing now, and the next at this time (ms)
    case limited(Int)  // nothing for so many ms
    case none

    /// From the answer of the scripts' `fetch`.
    init(_ reply: RedisValue, queue: JobQueue) throws(JobQueueError) {
        let parts = reply.elements ?? []
        switch parts.first?.text {
        case "job":
            guard parts.count == 3, let id = parts[1].text else { throw queue.malformed(reply, of: Lua.fetchNext) }
            self = .job(Job(id: id, fields: parts[2].fields, state: .active))
        case "scheduled": self = .scheduled(parts.last?.number ?? 0)
        case "limited": self = .limited(parts.last?.number ?? 1_000)
        case "blocked", "none": self = .none
        case "unsupported": throw JobQueueError(status: parts.last?.number ?? -100, queue: queue.name)
        default: throw queue.malformed(reply, of: Lua.fetchNext)
        }
    }
}

/// The worker's half of the scripts.
extension QueueWorker {
    private var lock: RedisArgument { RedisArgument(lockDuration.milliseconds) }
    private var most: RedisArgument { RedisArgument(options.rateLimit.map { "\($0.count)" } ?? "") }
    private var window: RedisArgument { RedisArgument(options.rateLimit.map { "\($0.window.milliseconds)" } ?? "") }

    func fetch(token: String) async throws -> Fetched {
        let reply = try await queue.run(
            Lua.fetchNext, RedisArgument(queue.now()), RedisArgument(token), lock, RedisArgument(name), most, window)
        return try Fetched(reply, queue: queue)
    }

    /// The jobs whose locks are not ours any more.
    func extendLocks(of leases: [Lease]) async throws -> Set<String> {
        let pairs = leases.flatMap { [RedisArgument($0.job), RedisArgument($0.token)] }
        let reply = try await queue.redis.eval(Lua.extendLocks, keys: [queue.key("")], arguments: [lock] + pairs)
        return Set((reply.elements ?? []).compactMap { $0.text })
    }

    func recoverStalled() async throws -> [String] {
        let reply = try await queue.run(
            Lua.recoverStalled, RedisArgument(queue.now()), RedisArgument(stalledInterval.milliseconds),
            RedisArgument(options.maxStalledCount))
        return (reply.elements ?? []).compactMap { $0.text }
    }

    /// Tells the outcome, and returns the next job where one was fetched along with it.
    func send(_ outcome: AttemptOutcome, of job: Job, token: String) async throws -> Job? {
        let id = RedisArgument(job.id)
        let now = RedisArgument(queue.now())
        let key = RedisArgument(token)
        let fetchNext: RedisArgument = stop.isGiven ? "0" : "1"
        let worker = RedisArgument(name)
        let reply: RedisValue
        switch outcome {
        case .completed(let value):
            reply = try await finish(
                job, token: token, kind: "completed", text: value,
                job.options.removeOnComplete ?? options.removeOnComplete)
        case .failed(let reason):
            reply = try await finish(
                job, token: token, kind: "failed", text: reason,
                job.options.removeOnFail ?? options.removeOnFail)
        case .retryNow(let reason):
            reply = try await queue.run(
                Lua.retryNow, id, key, now, RedisArgument(reason), stacktrace(of: job, adding: reason),
                job.options.lifo ? "1" : "0")
        case .retryLater(let reason, let delay):
            reply = try await queue.run(
                Lua.retryLater, id, key, now, RedisArgument(delay), "1", RedisArgument(reason),
                stacktrace(of: job, adding: reason), fetchNext, lock, worker, most, window)
        case .postponed(let delay):
            reply = try await queue.run(
                Lua.retryLater, id, key, now, RedisArgument(delay), "0", "", "", "0", lock, worker, most, window)
        case .putBack:
            reply = try await queue.run(Lua.putBack, id, key)
        }
        guard let parts = reply.elements, let status = parts.first?.number else {
            throw queue.malformed(reply, of: Lua.finish)
        }
        if status < 0 { throw JobQueueError(status: status, job: job.id, queue: queue.name) }
        // The end of this job stands. What else came is the taking task's to see again: it asks by itself.
        guard parts.count > 1, case .job(let next)? = try? Fetched(parts[1], queue: queue) else { return nil }
        return next
    }

    private func finish(
        _ job: Job, token: String, kind: RedisArgument, text: String, _ retention: Retention
    ) async throws -> RedisValue {
        let (count, age, removals) = retention.limits
        return try await queue.run(
            Lua.finish, RedisArgument(job.id), RedisArgument(token), RedisArgument(queue.now()), kind,
            RedisArgument(text), stacktrace(of: job, adding: kind == "failed" ? text : nil),
            RedisArgument(job.options.attempts), RedisArgument(count), RedisArgument(age), RedisArgument(removals),
            RedisArgument(options.metricsMinutes), stop.isGiven ? "0" : "1", lock, RedisArgument(name), most, window)
    }

    /// The newest failures, as a JSON array.
    private func stacktrace(of job: Job, adding reason: String?) -> RedisArgument {
        guard let reason else { return "[]" }
        let rows = (job.stacktrace + [reason]).suffix(max(0, job.options.stackTraceLimit ?? 10))
        let json = try? JSONSerialization.data(withJSONObject: Array(rows))
        return RedisArgument(json.map { String(decoding: $0, as: UTF8.self) } ?? "[]")
    }
}
