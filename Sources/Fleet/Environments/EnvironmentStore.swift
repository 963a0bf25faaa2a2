import Cryptography
import Foundation
import Logging
import PostgreSQL
import Synchronization

/// The environments: the only place that moves one from a state to the next.
///
/// A move is one SQL statement: an `UPDATE` whose `WHERE` names the state and the generation the caller saw, with the
/// audit line and the job that follows written from the row it changed. So either all of them are there or none, and of
/// many who try the same move one succeeds. After the commit the mover puts the job into Redis and tells the state on
/// `vm:{environmentId}`; if it dies before, the job is still in the outbox, and whoever waits for the state looks at the
/// row again at its own deadline.
package final class EnvironmentStore: Sendable {
    let database: PostgresPool
    let secretBox: SecretBox
    let outbox: Outbox
    let signals: EnvironmentSignals
    let sessions: SessionPresence
    let audit: AuditLog
    let logger: Logger
    package let routes: RouteCache
    private let activity = Mutex<[EnvironmentID: ContinuousClock.Instant]>([:])

    /// How often at most the time of the last activity is written for one environment.
    static let activityInterval = Duration.seconds(10)

    init(
        database: PostgresPool, secretBox: SecretBox, outbox: Outbox, signals: EnvironmentSignals,
        sessions: SessionPresence, audit: AuditLog, logger: Logger
    ) {
        self.database = database
        self.secretBox = secretBox
        self.outbox = outbox
        self.signals = signals
        self.sessions = sessions
        self.audit = audit
        self.logger = logger
        routes = RouteCache(database: database)
    }

    // MARK: Reading

    package func find(_ id: EnvironmentID) async throws -> Environment? {
        try await ServiceError.translating("Environment \(id) not read") {
            try await database.query("SELECT \(raw: Self.columns) FROM dev_environments WHERE id = \(id)")
                .first.map(Environment.init)
        }
    }

    /// `nil` also for somebody else's: whether it exists is not told.
    package func find(_ id: EnvironmentID, owner: UserID) async throws -> Environment? {
        guard let environment = try await find(id), environment.userID == owner else { return nil }
        return environment
    }

    package func find(slug: Slug) async throws -> Environment? {
        try await ServiceError.translating("Environment \(slug) not read") {
            try await database.query("SELECT \(raw: Self.columns) FROM dev_environments WHERE slug = \(slug)")
                .first.map(Environment.init)
        }
    }

    /// `nil` also for somebody else's: whether it exists is not told.
    package func find(slug: Slug, owner: UserID) async throws -> Environment? {
        guard let environment = try await find(slug: slug), environment.userID == owner else { return nil }
        return environment
    }

    /// The living environment that a provider's instance belongs to; `nil` if the database knows of none.
    package func find(instance: String, provider: String) async throws -> Environment? {
        try await ServiceError.translating("Environment of instance '\(instance)' not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM dev_environments
                WHERE provider = \(provider) AND provider_instance_id = \(instance) AND state <> 'destroyed'
                ORDER BY created_at DESC LIMIT 1
                """
            ).first.map(Environment.init)
        }
    }

    /// The user's own VM; `nil` if they have none, or none any more.
    package func userVM(of user: UserID) async throws -> Environment? {
        try await ServiceError.translating("The VM of user \(user) not read") {
            try await Self.userVM(of: user) { try await database.query($0) }
        }
    }

    static func userVM(of user: UserID, query: (SQL) async throws -> [PostgresRow]) async throws -> Environment? {
        try await query(
            """
            SELECT \(raw: columns) FROM dev_environments
            WHERE id = (SELECT environment_id FROM user_vms WHERE user_id = \(user) AND destroyed_at IS NULL)
            """
        ).first.map(Environment.init)
    }

    /// A user's environments that are not destroyed, oldest first, at most 500; `after` continues after the last of a
    /// page.
    package func list(owner: UserID, limit: Int = 100, after: EnvironmentID? = nil) async throws -> [Environment] {
        let rest: SQL =
            if let after {
                "AND (created_at, id) > (SELECT created_at, id FROM dev_environments WHERE id = \(after))"
            } else {
                ""
            }
        return try await ServiceError.translating("Environments not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM dev_environments
                WHERE user_id = \(owner) AND state <> 'destroyed' \(rest)
                ORDER BY created_at, id LIMIT \(Self.page(limit))
                """
            ).map(Environment.init)
        }
    }

    /// The environments of everybody in one of `states`, by id, at most 500; `unchangedFor` leaves out those that
    /// came into their state more recently. For sweeps and admins.
    package func list(
        states: Set<EnvironmentState>, unchangedFor age: Duration = .zero, limit: Int = 100,
        after: EnvironmentID? = nil
    ) async throws -> [Environment] {
        let names = states.map(\.rawValue).sorted()
        let seconds = age / .seconds(1)
        return try await ServiceError.translating("Environments not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM dev_environments
                WHERE state = ANY(\(names)::text[])
                    AND state_changed_at <= now() - make_interval(secs => \(seconds)::double precision)
                    AND id > COALESCE(\(after)::uuid, '00000000-0000-0000-0000-000000000000')
                ORDER BY id LIMIT \(Self.page(limit))
                """
            ).map(Environment.init)
        }
    }

    static func page(_ limit: Int) -> Int { min(max(limit, 1), 500) }

    // MARK: Small changes

    /// Notes that the environment is in use, at most once in 10 s for each: cheap to call for every execution. A
    /// failure is logged, not thrown: the next use tries again.
    package func touchActivity(_ id: EnvironmentID) async {
        let isDue = activity.withLock { activity in
            let now = ContinuousClock.now
            if let last = activity[id], now - last < Self.activityInterval { return false }
            if activity.count >= 10_000 { activity = activity.filter { now - $0.value < Self.activityInterval } }
            activity[id] = now
            return true
        }
        guard isDue else { return }
        do {
            try await database.execute(
                """
                UPDATE dev_environments SET last_activity_at = now()
                WHERE id = \(id) AND (last_activity_at IS NULL OR last_activity_at < now() - interval '10 seconds')
                """)
        } catch {
            _ = activity.withLock { $0.removeValue(forKey: id) }
            if error is CancellationError { return }
            logger.warning(
                "activity of an environment not noted",
                metadata: ["environment_id": "\(id)", "error": "\(error)"])
        }
    }

    /// Notes where an environment is reached, for a worker that finds it at another place than the row says. Not for
    /// moves: those carry it in their ``EnvironmentChange``. Does nothing unless state and generation are still those
    /// of `environment`.
    @discardableResult
    package func setEndpoint(_ endpoint: EnvironmentEndpoint, of environment: Environment) async throws -> Bool {
        try await ServiceError.translating("Endpoint of environment \(environment.id) not noted") {
            try await database.execute(
                """
                UPDATE dev_environments
                SET host = \(endpoint.host), ssh_port = \(endpoint.port), ssh_user = \(endpoint.user),
                    runner_port = \(endpoint.runnerPort), updated_at = now()
                WHERE id = \(environment.id) AND state = \(environment.state)
                    AND generation = \(environment.generation)
                """) > 0
        }
    }

    /// Notes what the provider made, as soon as it is there and before the move: a worker that dies in between leaves
    /// no VM that the row does not name. Does nothing unless state and generation are still those of `environment`.
    @discardableResult
    package func setProviderInstance(_ instanceID: String, of environment: Environment) async throws -> Bool {
        try await ServiceError.translating("Instance of environment \(environment.id) not noted") {
            try await database.execute(
                """
                UPDATE dev_environments SET provider_instance_id = \(instanceID), updated_at = now()
                WHERE id = \(environment.id) AND state = \(environment.state)
                    AND generation = \(environment.generation)
                """) > 0
        }
    }
}
