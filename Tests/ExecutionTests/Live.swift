import Cryptography
import Fleet
import Foundation
import Logging
import PostgreSQL
import Redis
import TestSupport
import Testing

/// Against a real Redis and a real PostgreSQL.
@Suite(LiveRedis()) enum Live {}

let quiet: Logger = {
    var logger = Logger(label: "martlet.execution.test")
    logger.logLevel = .critical
    return logger
}()

func withRedis(_ body: (RedisClient) async throws -> Void) async throws {
    let redis = try RedisClient(url: LiveRedis.url, logger: quiet)
    do {
        try await body(redis)
        await redis.close()
    } catch {
        await redis.close()
        throw error
    }
}

/// Lends the domain and a user of it.
func withFleet(_ body: (Fleet, Caller) async throws -> Void) async throws {
    try await LivePostgres.withDatabase { pool in
        _ = try await Migrator(pool: pool, migrations: Fleet.migrations).run()
        try await withRedis { redis in
            let fleet = Fleet(
                database: pool, redis: redis, secrets: try SecretBox(key: [UInt8](repeating: 7, count: 32)),
                configuration: FleetConfiguration(queuePrefix: "test-\(UUID())"), logger: quiet)
            let user = try await fleet.users.create(name: "user", role: .user, tier: .free, by: .system("test"))
            try await body(
                fleet,
                Caller(userID: user.id, tokenID: TokenID(), role: .user, scopes: [.user], tier: .free))
        }
    }
}

/// Lends the domain and a VM that is recorded as running.
func withRunningVM(_ body: (Fleet, Environment) async throws -> Void) async throws {
    try await withFleet { fleet, caller in
        let made = try await fleet.environments.createUserVM(for: caller, requestID: "r", provider: "local")
        let running = try await fleet.environments.move(
            made.id, from: made.state, generation: made.generation, to: .running, actor: .worker("w"),
            action: "test")
        try await body(fleet, try #require(running))
    }
}
