package import Foundation
import PostgreSQL

/// Why an environment is not asleep, or until when it will not be.
package struct WakeReason: Sendable, Hashable {
    package let runningExecutions: Int
    /// Terminals and their like (``SessionPresence``).
    package let openSessions: Int
    package let lastActivityAt: Date?
    /// When it is stopped if nobody uses it until then; `nil`: it is in use, does not run, or its owner's tier lets it
    /// run for ever.
    package let idleStopAt: Date?
    /// When it is destroyed.
    package let expiresAt: Date?
}

// What a sweep looks for: each one statement, at most 500 at a time, oldest first. `now` is the database's own, unless
// a test says otherwise.
extension EnvironmentStore {
    /// Throws `environment_not_found`.
    package func wakeReason(of id: EnvironmentID) async throws -> WakeReason {
        let sessions = try await sessions.count(on: id)
        return try await ServiceError.translating("Use of environment \(id) not read") {
            let rows = try await database.query(
                """
                SELECT state, users.tier, last_activity_at, expires_at, (
                    SELECT count(*) FROM environment_executions
                    WHERE environment_id = dev_environments.id AND environment_executions.state = 'running')
                    AS executions
                FROM dev_environments JOIN users ON users.id = user_id WHERE dev_environments.id = \(id)
                """)
            guard let row = rows.first else { throw ServiceError.environmentNotFound("\(id)") }
            let executions: Int = try row.decode("executions")
            let lastActivityAt: Date? = try row.decode("last_activity_at")
            let tier: Tier = try row.decode("tier")
            let isIdle = try row.decode("state") == EnvironmentState.running && executions == 0 && sessions == 0
            return WakeReason(
                runningExecutions: executions, openSessions: sessions, lastActivityAt: lastActivityAt,
                idleStopAt: isIdle
                    ? tier.idleStop.flatMap { lastActivityAt?.addingTimeInterval($0 / .seconds(1)) } : nil,
                expiresAt: try row.decode("expires_at"))
        }
    }

    /// Those that run although nobody has used them for as long as their owner's tier allows: no execution runs, and
    /// neither execution nor open session was noted since.
    package func idleCandidates(now: Date? = nil, limit: Int = 500) async throws -> [Environment] {
        try await candidates("state = 'running' AND \(Self.isIdle(at: now))", order: "last_activity_at", limit)
    }

    /// Stops one that is idle, unless it is used after all by now. `nil`: it is, or somebody else has moved it.
    @discardableResult
    package func stopIdle(_ environment: Environment, by actor: AuditActor, now: Date? = nil) async throws
        -> Environment?
    {
        guard environment.state == .running else { return nil }
        let move = try await ServiceError.translating("Environment \(environment.slug) not stopped") {
            try await commitMove(
                environment.id, from: .running, generation: environment.generation, to: .stopping, actor: actor,
                action: "idle_stop", requestID: nil, where: Self.isIdle(at: now), by: { try await database.query($0) })
        }
        guard let move else { return nil }
        await announce(move)
        return move.environment
    }

    /// Those whose time is over and that can be destroyed at once; those on their way to somewhere follow when there.
    package func expired(now: Date? = nil, limit: Int = 500) async throws -> [Environment] {
        try await candidates(
            "state IN ('running', 'stopped', 'error') AND expires_at <= COALESCE(\(now)::timestamptz, now())",
            order: "expires_at", limit)
    }

    /// Those that run on a host which is being drained: to be stopped.
    package func onDrainingHosts(limit: Int = 500) async throws -> [Environment] {
        try await candidates(
            """
            state = 'running' AND host_id IN (SELECT id FROM firecracker_hosts WHERE state = 'draining')
            """, order: "state_changed_at", limit)
    }

    /// Those that run although their owner has used up the month's hours. Only an override limits hours, so the runs of
    /// few users are added up.
    package func outOfHours(now: Date? = nil, limit: Int = 500) async throws -> [Environment] {
        try await candidates(
            """
            state = 'running' AND user_id IN (
                SELECT user_id FROM user_quotas AS quotas, (
                    SELECT COALESCE(\(now)::timestamptz, now()) AS now,
                        date_trunc('month', COALESCE(\(now)::timestamptz, now()), 'UTC') AS month) AS moment
                WHERE runtime_hours IS NOT NULL AND runtime_hours * 3600 <= (
                    SELECT \(raw: QuotaStore.secondsOfMonth) FROM environment_runs
                    WHERE environment_runs.user_id = quotas.user_id AND (stopped_at IS NULL OR stopped_at > month)))
            """, order: "state_changed_at", limit)
    }

    private func candidates(_ condition: SQL, order: String, _ limit: Int) async throws -> [Environment] {
        try await ServiceError.translating("Environments not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM dev_environments WHERE \(condition)
                ORDER BY \(raw: order), id LIMIT \(Self.page(limit))
                """
            ).map(Environment.init)
        }
    }

    /// A condition on a row of `dev_environments`. The tier is the one the owner has now.
    private static func isIdle(at now: Date?) -> SQL {
        let limits = Tier.allCases.compactMap { tier in tier.idleStop.map { (tier.rawValue, Int($0 / .seconds(1))) } }
        return """
            COALESCE(\(now)::timestamptz, now()) - COALESCE(last_activity_at, state_changed_at) >= (
                SELECT make_interval(secs => seconds)
                FROM unnest(\(limits.map(\.0))::text[], \(limits.map(\.1))::integer[]) AS idle (tier, seconds)
                    JOIN users USING (tier)
                WHERE users.id = user_id)
            AND NOT EXISTS (
                SELECT FROM environment_executions AS runs
                WHERE runs.environment_id = dev_environments.id AND runs.state = 'running')
            """
    }
}
