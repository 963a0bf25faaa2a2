import Logging
import Redis

/// Which processes of a kind live: gateways, so that the executions of those that do not can be called lost; workers, so
/// that a job which none of them can do is not waited for (``WorkerPresence``).
///
/// A sorted set holds each with the time until which it counts as alive, by Redis's clock; every beat of its heart moves
/// that on. Since Redis may lose everything, a second key says since when the set can be trusted: until a whole lifetime
/// has passed from then, one that lives may be missing from it.
package struct Presence: Sendable {
    let redis: RedisClient
    let kind: String  // in the plural
    let logger: Logger
    var lifetimeMs = 10_000
    var prefix = "martlet"

    static let interval = Duration.seconds(3)

    private var keys: [String] { ["\(prefix):\(kind)", "\(prefix):\(kind):since"] }

    private static let beatScript = RedisScript(
        "beat of a process",
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
        redis.call('SET', KEYS[2], now, 'NX')
        return 1
        """)

    private static let aliveScript = RedisScript(
        "living processes",
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('SET', KEYS[2], now, 'NX')
        if now - redis.call('GET', KEYS[2]) < tonumber(ARGV[1]) then return false end
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        return redis.call('ZRANGE', KEYS[1], 0, -1)
        """)

    /// One beat: these count as alive for 10 s from now. To be done once before the first of what depends on it begins.
    package func heartbeat(_ members: String...) async throws { try await heartbeat(members) }

    func heartbeat(_ members: [String]) async throws {
        _ = try await ServiceError.translating("Presence of \(kind) not told") {
            try await redis.eval(
                Self.beatScript, keys: keys, arguments: [RedisArgument(lifetimeMs)] + members.map { RedisArgument($0) })
        }
    }

    /// Beats every 3 s until cancelled. What fails is logged and tried again.
    package func beat(_ members: String..., clock: any Clock<Duration> = ContinuousClock()) async throws {
        try await beat(members, clock: clock)
    }

    func beat(_ members: [String], clock: any Clock<Duration> = ContinuousClock()) async throws {
        while true {
            do {
                try await heartbeat(members)
            } catch let error as ServiceError {
                logger.warning("presence not told", metadata: ["kind": "\(kind)", "error": "\(error)"])
            }
            try await clock.sleep(for: Self.interval)
        }
    }

    /// Those that live; `nil` if that cannot be told yet.
    package func alive() async throws -> Set<String>? {
        try await ServiceError.translating("Living \(kind) not read") {
            let reply = try await redis.eval(
                Self.aliveScript, keys: keys, arguments: [RedisArgument(lifetimeMs)])
            return reply.elements.map { Set($0.compactMap(\.text)) }
        }
    }

    /// Takes out those that have ended all that depends on it.
    package func leave(_ members: String...) async throws { try await leave(members) }

    func leave(_ members: [String]) async throws {
        _ = try await ServiceError.translating("End of \(kind) not told") {
            try await redis.command(["ZREM", RedisArgument(keys[0])] + members.map { RedisArgument($0) })
        }
    }
}
