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
    let databaseURL: String
    let redisURL: String
    let prefix: String
    let provider = ScriptedProvider()

    var pool: PostgresPool { fleet.database }

    /// Lends another process's fleet on the same servers; the database knows its connections by `name`.
    func withAnotherFleet(name: String, _ body: (Fleet) async throws -> Void) async throws {
        try await withParts(
            database: "\(databaseURL)&application_name=\(name)", redis: redisURL, prefix: prefix, body)
    }

    var handler: JobHandler {
        JobHandler(
            fleet: fleet, providers: ProviderSet(only: provider), configuration: WorkerConfiguration(name: "w"),
            logger: quiet)
    }

    var reconciler: Reconciler { Reconciler(fleet: fleet, worker: "w", logger: quiet) }

    func reconcile(strayAge: Duration) async throws { try await reconciler.sweep(provider, strayAge: strayAge) }

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

    /// One that a job is to move on out of this state.
    func entering(_ state: EnvironmentState) async throws -> Environment {
        let actor = AuditActor.system("test")
        switch state {
        case .provisioning: return try await requested()
        case .starting: return try await fleet.environments.requestStart(try await vm(.stopped).id, actor: actor)
        case .stopping: return try await fleet.environments.requestStop(try await vm(.running).id, actor: actor)
        case .destroying: return try await fleet.environments.requestDestroy(try await vm(.running).id, actor: actor)
        case .requested, .running, .stopped, .destroyed, .error:
            Issue.record("no job follows '\(state)'")
            return try await requested()
        }
    }

    func now(_ environment: Environment) async throws -> Environment {
        try #require(try await fleet.environments.find(environment.id))
    }

    /// Has the handler do the job that the environment, as it is given, waits for.
    @discardableResult
    func run(
        _ environment: Environment, attempt: Int = 1, by handler: JobHandler? = nil
    ) async throws -> String? {
        let pending = try #require(environment.pendingJob)
        let queue = pending.action == .provision ? fleet.provisionQueue : fleet.controlQueue
        return try await run(pending.id, in: queue, attempt: attempt, by: handler)
    }

    @discardableResult
    func run(
        _ id: String, in queue: JobQueue, attempt: Int = 1, by handler: JobHandler? = nil
    ) async throws -> String? {
        let job = try await job(id, in: queue, attempt: attempt)
        let context = JobContext(job: job, token: "t", queue: queue, logger: quiet)
        return try await (handler ?? self.handler).handle(job, context)
    }

    /// The job that the environment, as it is given, waits for.
    func job(of environment: Environment) async throws -> Job {
        let pending = try #require(environment.pendingJob)
        return try await job(
            pending.id, in: pending.action == .provision ? fleet.provisionQueue : fleet.controlQueue, attempt: 1)
    }

    private func job(_ id: String, in queue: JobQueue, attempt: Int) async throws -> Job {
        var fields = try await fleet.redis.command("HGETALL", "\(queue.key(id))").fields
        fields["attemptsMade"] = "\(attempt - 1)"
        return Job(id: id, fields: fields)
    }
}

func withBench(redis url: String = LiveRedis.url, _ body: (Bench) async throws -> Void) async throws {
    try await LivePostgres.withDatabaseURL { database in
        let prefix = "test-\(UUID())"
        try await withParts(database: database, redis: url, prefix: prefix) { fleet in
            _ = try await Migrator(pool: fleet.database, migrations: Fleet.migrations).run()
            try await body(Bench(fleet: fleet, databaseURL: database, redisURL: url, prefix: prefix))
        }
    }
}

/// Lends a fleet with connections of its own.
private func withParts(
    database: String, redis url: String, prefix: String, _ body: (Fleet) async throws -> Void
) async throws {
    let pool = PostgresPool(url: database, size: 8, logger: quiet)
    let redis = try RedisClient(url: url, logger: quiet)
    let fleet = Fleet(
        database: pool, redis: redis, secrets: try SecretBox(key: [UInt8](repeating: 7, count: 32)),
        configuration: FleetConfiguration(queuePrefix: prefix), logger: quiet)
    do {
        try await body(fleet)
    } catch {
        await redis.close()
        await pool.close()
        throw error
    }
    await redis.close()
    await pool.close()
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
