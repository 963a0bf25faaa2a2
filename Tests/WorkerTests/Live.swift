import Cryptography
import Fleet
import Foundation
import Logging
import PostgreSQL
import Providers
import Redis
import TestSupport
import Testing

@testable import JobQueue
@testable import Worker

/// Against a real Redis and a real PostgreSQL; only the VMs are made up.
@Suite(LiveRedis()) enum Live {}

/// What is broken on purpose is no news.
let quiet: Logger = {
    var logger = Logger(label: "martlet.worker.test")
    logger.logLevel = .critical
    return logger
}()

/// A migrated database, queues of the test's own, and a worker's parts over VMs that are made up.
struct Bench {
    let fleet: Fleet
    let pool: PostgresPool
    let provider = ScriptedProvider()

    var handler: EnvironmentHandler {
        EnvironmentHandler(fleet: fleet, providers: ProviderSet(only: provider), name: "w", logger: quiet)
    }

    var reconciler: Reconciler {
        Reconciler(fleet: fleet, providers: ProviderSet(only: provider), worker: "w", logger: quiet)
    }

    func caller() async throws -> Caller {
        let user = try await fleet.users.create(
            name: "user-\(UUID())", role: .user, tier: .free, by: .system("test"))
        return Caller(userID: user.id, tokenID: TokenID(), role: .user, scopes: [.user], tier: .free)
    }

    /// A VM that was asked for and is not made yet.
    func requested() async throws -> Environment {
        try await fleet.environments.createUserVM(for: try await caller(), requestID: nil, provider: "local")
    }

    /// A VM in `running` or `stopped`, row and provider agreeing.
    func vm(_ state: EnvironmentState) async throws -> Environment {
        let requested = try await requested()
        try await run(requested)
        guard state == .stopped else { return try await now(requested) }
        try await run(try await fleet.environments.requestStop(requested.id, actor: .system("test")))
        return try await now(requested)
    }

    func now(_ environment: Environment) async throws -> Environment {
        try #require(try await fleet.environments.find(environment.id))
    }

    /// Has the handler do the job that the environment, as it is given, waits for.
    @discardableResult
    func run(_ environment: Environment, attempt: Int = 1) async throws -> String? {
        let pending = try #require(environment.pendingJob)
        return try await run(
            pending.id, in: pending.action == .provision ? fleet.provisionQueue : fleet.controlQueue, attempt: attempt)
    }

    @discardableResult
    func run(_ id: String, in queue: JobQueue, attempt: Int = 1) async throws -> String? {
        var fields = try await fleet.redis.command("HGETALL", "\(queue.key(id))").fields
        fields["attemptsMade"] = "\(attempt - 1)"
        let job = Job(id: id, fields: fields)
        return try await handler.handle(job, JobContext(job: job, token: "t", queue: queue, logger: quiet))
    }
}

func withBench(_ body: (Bench) async throws -> Void) async throws {
    try await LivePostgres.withDatabase { pool in
        _ = try await Migrator(pool: pool, migrations: Fleet.migrations).run()
        let redis = try RedisClient(url: LiveRedis.url, logger: quiet)
        let fleet = Fleet(
            database: pool, redis: redis, secrets: try SecretBox(key: [UInt8](repeating: 7, count: 32)),
            configuration: FleetConfiguration(queuePrefix: "test-\(UUID())"), logger: quiet)
        do {
            try await body(Bench(fleet: fleet, pool: pool))
            await redis.close()
        } catch {
            await redis.close()
            throw error
        }
    }
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
