import Foundation
import Logging
import PostgreSQL
import Redis

/// Who has something open on an environment that is no execution: a terminal, a tunnel.
///
/// A sorted set `martlet:sessions:{environmentId}` holds each with the time until which it counts as open, by Redis's
/// clock. Its beat also notes the environment as used, which is what idle stop goes by: if Redis loses the set, or
/// cannot be reached, an open session still holds the stop off.
package struct SessionPresence: Sendable {
    let redis: RedisClient
    let database: PostgresPool
    let logger: Logger
    var lifetimeMs = 30_000
    var interval = Duration.seconds(10)
    var prefix = "martlet"

    private static let beatScript = RedisScript(
        "beat of a session",
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
        redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return 1
        """)

    private static let countScript = RedisScript(
        "open sessions",
        """
        local time = redis.call('TIME')
        return redis.call('ZCOUNT', KEYS[1], '(' .. time[1] * 1000 + math.floor(time[2] / 1000), '+inf')
        """)

    /// Keeps the environment awake for the time of `body`, and until its idle time has passed after it. `kind` is a
    /// word for what is open (`terminal`). What cannot be told of it is logged; `body` goes on.
    package func withHold<Result>(
        on environment: EnvironmentID, kind: String, _ body: () async throws -> Result
    ) async throws -> Result {
        let member = "\(kind):\(UUID().uuidString.lowercased())"
        do {
            let result = try await withThrowingTaskGroup(of: Void.self) { group in
                await beat(member, on: environment)
                group.addTask {
                    while true {
                        try await Task.sleep(for: interval)
                        await beat(member, on: environment)
                    }
                }
                defer { group.cancelAll() }
                return try await body()
            }
            await Task { await leave(member, environment) }.value
            return result
        } catch {
            await Task { await leave(member, environment) }.value  // although the caller may be cancelled
            throw error
        }
    }

    /// How many are open at present.
    package func count(on environment: EnvironmentID) async throws -> Int {
        try await ServiceError.translating("Sessions of environment \(environment) not counted") {
            try await redis.eval(Self.countScript, keys: [key(environment)], arguments: []).number ?? 0
        }
    }

    private func beat(_ member: String, on environment: EnvironmentID) async {
        await logging("session not told", environment) {
            try await redis.eval(
                Self.beatScript, keys: [key(environment)],
                arguments: [RedisArgument(member), RedisArgument(lifetimeMs)])
        }
        await touch(environment)
    }

    private func leave(_ member: String, _ environment: EnvironmentID) async {
        await logging("end of a session not told", environment) {
            try await redis.command("ZREM", RedisArgument(key(environment)), RedisArgument(member))
        }
        await touch(environment)
    }

    /// Each session once in 10 s: many on one environment write it no more often.
    private func touch(_ environment: EnvironmentID) async {
        await logging("use of an environment not noted", environment) {
            try await database.execute(
                """
                UPDATE dev_environments SET last_activity_at = now()
                WHERE id = \(environment) AND (last_activity_at IS NULL OR last_activity_at < now() - interval '5 s')
                """)
        }
    }

    private func logging(
        _ failure: Logger.Message, _ environment: EnvironmentID, _ body: () async throws -> some Any
    ) async {
        do {
            _ = try await body()
        } catch is CancellationError {
        } catch {
            logger.warning(failure, metadata: ["environment_id": "\(environment)", "error": "\(error)"])
        }
    }

    private func key(_ environment: EnvironmentID) -> String { "\(prefix):sessions:\(environment)" }
}
