import Foundation
package import Redis

/// A queue of jobs in Redis, in the layout of BullMQ 5, so that its producers, workers and dashboards share it.
///
/// Theory of operation. A job is a hash; where it is, is membership in one list or sorted set (`wait`, `prioritized`,
/// `delayed`, `active`, `completed`, `failed`; `paused` stands for `wait` while the queue is paused). Every move is one
/// Lua script (``Lua``), so it happens whole or not at all, whoever dies. A worker that takes a job holds its lock, a
/// key that expires unless renewed: a job in `active` without lock belongs to nobody and is put back by the stalled
/// pass of any worker. Idle workers block on the `marker` set, which whatever makes work available touches; markers
/// are hints, a worker also looks by itself every few seconds. What happens is told in the stream `events`.
///
/// A script whose reply was lost may or may not have run. Adding is safe to repeat with an id of one's own; a worker
/// repeats its last word until its lock would have run out.
package final class JobQueue: Sendable {
    package let name: String
    let prefix: String
    let redis: RedisClient
    let now: @Sendable () -> Int  // milliseconds

    /// A queue needs no making. `prefix` holds a hash tag (`{bull}`) on Redis Cluster.
    package convenience init(name: String, redis: RedisClient, prefix: String = "bull") {
        self.init(name: name, redis: redis, prefix: prefix, now: { Date().milliseconds })
    }

    init(name: String, redis: RedisClient, prefix: String, now: @escaping @Sendable () -> Int) {
        precondition(!name.isEmpty && !name.contains(":"), "a queue's name is not empty and has no colon")
        self.name = name
        self.redis = redis
        self.prefix = prefix
        self.now = now
    }

    func key(_ suffix: String) -> String { "\(prefix):\(name):\(suffix)" }

    func run(_ script: RedisScript, _ arguments: RedisArgument...) async throws -> RedisValue {
        try await redis.eval(script, keys: [key("")], arguments: arguments)
    }

    /// Runs a script that answers with a number; a negative one is thrown as what it means.
    @discardableResult
    func perform(_ script: RedisScript, on job: String, _ arguments: RedisArgument...) async throws -> Int {
        let reply = try await redis.eval(script, keys: [key("")], arguments: [RedisArgument(job)] + arguments)
        guard let status = reply.number else { throw malformed(reply, of: script) }
        if status < 0 { throw JobQueueError(status: status, job: job, queue: name) }
        return status
    }

    func malformed(_ reply: RedisValue, of script: RedisScript) -> JobQueueError {
        JobQueueError(
            .malformedReply, "Queue '\(name)': script '\(script.name)' answered \(reply).",
            hint: "Is the Redis server supported?")
    }

    /// Adds a job and returns its id. `data` is JSON text. With a `jobID` that exists, in whatever state, nothing is
    /// stored and that id returned. Throws `.invalidJob`, and `.unsupportedQueue` if the queue has schedulers.
    @discardableResult
    package func add(_ name: String, data: String, options: JobOptions = JobOptions()) async throws -> String {
        try options.validate()
        guard isJSON(data) else {
            throw JobQueueError(.invalidJob, "Data of job '\(name)' is not JSON.", hint: "Encode it as JSON text.")
        }
        let reply = try await run(
            Lua.add, RedisArgument(options.jobID ?? ""), RedisArgument(name), RedisArgument(data),
            RedisArgument(options.stored()), RedisArgument(options.timestamp?.milliseconds ?? now()),
            RedisArgument(options.delay.milliseconds), RedisArgument(options.priority), options.lifo ? "1" : "0")
        if reply == .integer(-100) { throw JobQueueError.hasSchedulers(queue: self.name) }
        guard let id = reply.text else { throw malformed(reply, of: Lua.add) }
        return id
    }

    /// The job with its state; nil if there is none.
    package func job(_ id: String) async throws -> Job? {
        async let state = state(of: id)
        let fields = try await redis.command("HGETALL", "\(key(id))").fields
        return try await fields.isEmpty ? nil : Job(id: id, fields: fields, state: state)
    }

    package func state(of id: String) async throws -> JobState {
        let reply = try await run(Lua.state, RedisArgument(id))
        return reply.text.flatMap { JobState(rawValue: $0) } ?? .unknown
    }

    /// How many jobs are in each state (all but `unknown`).
    package func counts() async throws -> [JobState: Int] {
        let columns = JobState.allCases.compactMap { state in state.column.map { (state, $0) } }
        let replies = try await redis.pipeline(
            columns.map { [$0.1.isList ? "LLEN" : "ZCARD", "\(key($0.1.suffix))"] })
        var counts: [JobState: Int] = [:]
        for ((state, _), reply) in zip(columns, replies) { counts[state] = reply.number ?? 0 }
        return counts
    }

    /// A page of the jobs in a state, newest first (of `delayed` and `prioritized`: the last to run first). Jobs that
    /// are removed meanwhile are left out.
    package func jobs(in state: JobState, range: Range<Int> = 0..<100) async throws -> [Job] {
        guard let column = state.column, !range.isEmpty, range.lowerBound >= 0 else { return [] }
        let reply = try await redis.command(
            column.isList ? "LRANGE" : "ZREVRANGE", "\(key(column.suffix))", RedisArgument(range.lowerBound),
            RedisArgument(range.upperBound - 1))
        let ids = (reply.elements ?? []).compactMap { $0.text }
        let hashes = try await redis.pipeline(ids.map { ["HGETALL", "\(key($0))"] })
        return zip(ids, hashes).compactMap { id, hash in
            let fields = hash.fields
            return fields.isEmpty ? nil : Job(id: id, fields: fields, state: state)
        }
    }

    /// The rows a job has logged, oldest first.
    package func logs(of id: String) async throws -> [String] {
        (try await redis.command("LRANGE", "\(key(id)):logs", 0, -1).elements ?? []).compactMap { $0.text }
    }
}

func isJSON(_ text: String) -> Bool {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
}

extension JobState {
    /// The key that holds the jobs of this state.
    fileprivate var column: (suffix: String, isList: Bool)? {
        switch self {
        case .waiting: ("wait", true)
        case .paused, .active: (rawValue, true)
        case .prioritized, .delayed, .completed, .failed, .waitingChildren: (rawValue, false)
        case .unknown: nil
        }
    }
}
