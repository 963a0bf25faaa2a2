package import Cryptography
package import JobQueue
package import Logging
package import PostgreSQL
package import Redis

/// The domain: users, tokens, environments and what becomes of them. No HTTP, no provider; SQL only in the stores.
///
/// PostgreSQL is the truth. A user's machine is one row of `dev_environments`, and its life is ``EnvironmentState``: a
/// move is one statement that compares state and generation and sets the next, and that writes the audit line and the
/// job which must follow beside it (``EnvironmentStore``). Jobs leave through the ``Outbox`` for the queues
/// `vm-provision` and `vm-control` under ids fixed by environment and generation, so that many who ask make one job and
/// a job that was lost can be added again blindly.
///
/// What users may have (``QuotaStore``) and where it is put (``Placement``) is counted inside the transaction that takes
/// it, behind locks: of the user's row, then of who places, then of the host's row. What is refused there is written
/// down after it.
///
/// Redis carries work and signals and may be lost whole: jobs come back from the rows (``Outbox/ensureJob(for:)``),
/// signals (``EnvironmentSignals``) and provision logs are hints for those who watch, presence (``Presence``,
/// ``SessionPresence``) is told again within seconds.
///
/// Keys, the runners' secrets and setups are sealed with the server's key and bound to their row; of tokens only hashes
/// are kept. Every list is paged, every wait bounded by the rooms below. All calls throw ``ServiceError``, or
/// `CancellationError`.
package final class Fleet: Sendable {
    package let users: UserStore
    package let quotas: QuotaStore
    package let tokens: TokenStore
    package let webSessions: WebSessionStore
    package let sshKeys: SSHKeyStore
    package let environments: EnvironmentStore
    package let executions: ExecutionStore
    package let hosts: HostStore
    package let unknownVMs: UnknownVMStore
    package let idempotency: IdempotencyStore
    package let audit: AuditLog
    package let outbox: Outbox
    package let provisionLog: ProvisionLogStore
    package let signals: EnvironmentSignals
    package let presence: Presence  // of gateways
    package let workers: WorkerPresence
    package let sessions: SessionPresence
    package let authenticator: Authenticator
    package let provisionQueue: JobQueue
    package let controlQueue: JobQueue
    package let queues: QueueDesk
    package let samples: FleetSampleStore

    /// For what has no store here: advisory locks, LISTEN, health checks.
    package let database: PostgresPool
    package let redis: RedisClient

    /// All of them, oldest first; never changed once released, only added to.
    package static var migrations: [Migration] {
        [
            Schema.users, Schema.environments, Schema.executions, Schema.hosts, Schema.fleet, Schema.unknownVMs,
            Schema.setups, Schema.webSessions, Schema.routes, Schema.samples, Schema.sshKeys, Schema.network,
        ]
    }

    package init(
        database: PostgresPool, redis: RedisClient, secrets: SecretBox,
        configuration: FleetConfiguration = FleetConfiguration(), logger: Logger
    ) {
        let provisionQueue = JobQueue(name: "vm-provision", redis: redis, prefix: configuration.queuePrefix)
        let controlQueue = JobQueue(name: "vm-control", redis: redis, prefix: configuration.queuePrefix)
        self.database = database
        self.redis = redis
        self.provisionQueue = provisionQueue
        self.controlQueue = controlQueue
        users = UserStore(database: database)
        quotas = QuotaStore(database: database)
        hosts = HostStore(database: database)
        idempotency = IdempotencyStore(database: database, secretBox: secrets)
        authenticator = Authenticator(
            database: database, capacity: configuration.cachedTokens, lifetime: .seconds(60))
        tokens = TokenStore(database: database, authenticator: authenticator)
        webSessions = WebSessionStore(database: database, redis: redis, authenticator: authenticator)
        sshKeys = SSHKeyStore(database: database)
        executions = ExecutionStore(database: database, journal: ExecutionJournal(redis: redis))
        audit = AuditLog(database: database)
        provisionLog = ProvisionLogStore(redis: redis, logger: logger)
        signals = EnvironmentSignals(redis: redis, logger: logger)
        presence = Presence(redis: redis, kind: "gateways", logger: logger)
        workers = WorkerPresence(presence: Presence(redis: redis, kind: "workers", logger: logger))
        outbox = Outbox(
            database: database, queues: [provisionQueue.name: provisionQueue, controlQueue.name: controlQueue],
            policies: configuration.jobs, logger: logger)
        sessions = SessionPresence(redis: redis, database: database, logger: logger)
        environments = EnvironmentStore(
            database: database, secretBox: secrets, outbox: outbox, signals: signals, sessions: sessions,
            audit: audit, logger: logger)
        queues = QueueDesk(queues: [provisionQueue, controlQueue], environments: environments, audit: audit)
        samples = FleetSampleStore(database: database, queues: queues)
        unknownVMs = UnknownVMStore(database: database, environments: environments, outbox: outbox)
    }
}

package struct FleetConfiguration: Sendable {
    /// What the keys of the queues begin with; BullMQ's own default.
    package var queuePrefix: String
    /// How many tokens at most are kept in memory.
    package var cachedTokens: Int

    package var jobs = JobPolicies()

    package init(queuePrefix: String = "bull", cachedTokens: Int = 10_000) {
        self.queuePrefix = queuePrefix
        self.cachedTokens = cachedTokens
    }
}
