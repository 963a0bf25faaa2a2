import Logging
import Redis

/// Which gateways live, so that the executions of those that do not can be called lost.
///
/// A sorted set holds each gateway with the time until which it counts as alive, by Redis's clock; every beat of its
/// heart moves that on. Since Redis may lose everything, a second key says since when the set can be trusted: until a
/// whole lifetime has passed from then, a living gateway may be missing from it.
package struct GatewayPresence: Sendable {
    let redis: RedisClient
    let logger: Logger
    var lifetimeMs = 10_000
    var prefix = "martlet"

    static let interval = Duration.seconds(3)

    private var keys: [String] { ["\(prefix):gateways", "\(prefix):gateways:since"] }

    private static let beatScript = RedisScript(
        "beat of a gateway",
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
        redis.call('SET', KEYS[2], now, 'NX')
        return 1
        """)

    private static let aliveScript = RedisScript(
        "living gateways",
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('SET', KEYS[2], now, 'NX')
        if now - redis.call('GET', KEYS[2]) < tonumber(ARGV[1]) then return false end
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        return redis.call('ZRANGE', KEYS[1], 0, -1)
        """)

    /// One beat: the gateway counts as alive for 10 s from now. To be done once before its first execution begins.
    package func heartbeat(_ gateway: String) async throws {
        _ = try await ServiceError.translating("Presence of the gateway not told") {
            try await redis.eval(
                Self.beatScript, keys: keys, arguments: [RedisArgument(gateway), RedisArgument(lifetimeMs)])
        }
    }

    /// Beats every 3 s until cancelled. What fails is logged and tried again.
    package func beat(_ gateway: String, clock: any Clock<Duration> = ContinuousClock()) async throws {
        while true {
            do {
                try await heartbeat(gateway)
            } catch let error as ServiceError {
                logger.warning("presence of the gateway not told", metadata: ["error": "\(error)"])
            }
            try await clock.sleep(for: Self.interval)
        }
    }

    /// The gateways that live; `nil` if that cannot be told yet.
    package func alive() async throws -> Set<String>? {
        try await ServiceError.translating("Living gateways not read") {
            let reply = try await redis.eval(
                Self.aliveScript, keys: keys, arguments: [RedisArgument(lifetimeMs)])
            return reply.elements.map { Set($0.compactMap(\.text)) }
        }
    }

    /// Takes a gateway out that has ended all its executions.
    package func leave(_ gateway: String) async throws {
        _ = try await ServiceError.translating("Gateway not taken out") {
            try await redis.command("ZREM", RedisArgument(keys[0]), RedisArgument(gateway))
        }
    }
}
