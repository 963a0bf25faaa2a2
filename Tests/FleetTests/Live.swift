import Cryptography
import Foundation
import JobQueue
import Logging
import PostgreSQL
import Redis
import TestSupport
import Testing

@testable import Fleet

/// Against a real Redis and a real PostgreSQL.
@Suite(LiveRedis()) enum Live {}

let quiet: Logger = {
    var logger = Logger(label: "martlet.fleet.test")
    logger.logLevel = .error
    return logger
}()

let someKey = [UInt8](repeating: 7, count: 32)

/// A migrated database and queues of the test's own. `another` makes a second server on the same ones.
struct Bench {
    let fleet: Fleet
    let pool: PostgresPool
    let redis: RedisClient
    let prefix: String

    func another(key: [UInt8] = someKey) throws -> Fleet {
        Fleet(
            database: pool, redis: redis, secrets: try SecretBox(key: key),
            configuration: FleetConfiguration(queuePrefix: prefix), logger: quiet)
    }

    /// A user and the caller that a token of theirs makes.
    func caller(_ name: String = "user-\(UUID())", role: Caller.Role = .user, tier: Tier = .free) async throws -> Caller
    {
        let user = try await fleet.users.create(name: name, role: role, tier: tier, by: .system("test"))
        let scopes: Set<Caller.Scope> = role == .admin ? [.user, .admin] : [.user]
        return Caller(userID: user.id, tokenID: TokenID(), role: role, scopes: scopes, tier: tier)
    }

    /// A new environment of the caller's, in `provisioning`.
    @discardableResult
    func create(
        _ name: String = "box", for caller: Caller, provider: String = "local",
        _ change: (inout EnvironmentRequest) -> Void = { _ in }
    ) async throws -> Environment {
        var request = EnvironmentRequest(name: name, provider: provider)
        change(&request)
        return try await fleet.environments.create(request, for: caller, requestID: "r")
    }

    /// Moves an environment as a worker does.
    @discardableResult
    func move(_ environment: Environment, _ states: EnvironmentState...) async throws -> Environment {
        var environment = try #require(try await fleet.environments.find(environment.id))
        for next in states {
            environment = try #require(
                try await fleet.environments.move(
                    environment.id, from: environment.state, generation: environment.generation, to: next,
                    actor: .worker("w"), action: "test"))
        }
        return environment
    }

    /// Has the run that is under way begun so much earlier.
    func backdateRun(of environment: Environment, minutes: Double) async throws {
        for statement: SQL in [
            "UPDATE dev_environments SET running_since = running_since - make_interval(secs => \(minutes * 60)) WHERE id = \(environment.id)",
            "UPDATE environment_runs SET started_at = started_at - make_interval(secs => \(minutes * 60)) WHERE environment_id = \(environment.id) AND stopped_at IS NULL",
        ] {
            #expect(try await pool.execute(statement) == 1)
        }
    }

    /// A user's VM that was moved, with all that belongs to it, to `running` or `stopped`.
    func vm(_ state: EnvironmentState, of caller: Caller) async throws -> Environment {
        let created = try await fleet.environments.createUserVM(for: caller, requestID: "r", provider: "local")
        var environment = created
        for next in state == .running ? [EnvironmentState.running] : [.running, .stopping, .stopped] {
            let moved = try await fleet.environments.move(
                environment.id, from: environment.state, generation: environment.generation, to: next,
                change: EnvironmentChange(
                    providerInstanceID: "vm-\(environment.id)",
                    endpoint: EnvironmentEndpoint(host: "127.0.0.1", port: 2222, user: "martlet", runnerPort: 4611)),
                actor: .worker("w"), action: "test")
            environment = try #require(moved)
        }
        return environment
    }

    func count(_ sql: SQL) async throws -> Int {
        try #require(try await pool.query(sql).first).decode(at: 0)
    }

    func auditLines(_ id: EnvironmentID, action: String) async throws -> Int {
        try await fleet.audit.list(environment: id, limit: 500).filter { $0.action == action }.count
    }
}

func withFleet(_ body: (Bench) async throws -> Void) async throws {
    try await LivePostgres.withDatabase { pool in
        _ = try await Migrator(pool: pool, migrations: Fleet.migrations).run()
        let redis = try RedisClient(url: LiveRedis.url, logger: quiet)
        let prefix = "test-\(UUID())"
        let fleet = Fleet(
            database: pool, redis: redis, secrets: try SecretBox(key: someKey),
            configuration: FleetConfiguration(queuePrefix: prefix), logger: quiet)
        do {
            try await body(Bench(fleet: fleet, pool: pool, redis: redis, prefix: prefix))
            await redis.close()
        } catch {
            await redis.close()
            throw error
        }
    }
}

/// The code that `body` is refused with; `nil`, and an issue, if it is not.
func refusal(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> some Any
) async -> ServiceError? {
    await #expect(throws: ServiceError.self, sourceLocation: sourceLocation) { _ = try await body() }
}

/// Runs `work` beside `body` and cancels it afterwards.
func beside(_ work: @escaping @Sendable () async throws -> Void, _ body: () async throws -> Void) async throws {
    let task = Task { try await work() }
    do {
        try await body()
    } catch {
        task.cancel()
        _ = await task.result
        throw error
    }
    task.cancel()
    _ = await task.result
}
