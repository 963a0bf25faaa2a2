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

    /// Throws `.unsupportedQueue` where this program's work would do harm: with job schedulers, or flows.
    package func requireSupported() async throws {
        let reply = try await run(Lua.attach)
        guard let status = reply.number else { throw malformed(reply, of: Lua.attach) }
        if status < 0 { throw JobQueueError(status: status, queue: name) }
    }
}

func isJSON(_ text: String) -> Bool {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
}
