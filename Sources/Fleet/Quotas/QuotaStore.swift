import Foundation
import PostgreSQL

/// What users may have and what they have.
///
/// Every count that something depends on is made in the transaction that depends on it, behind the lock of the user's
/// row (``ledger(of:on:at:)``): of any number who ask at the same time, each sees what those before have taken.
package struct QuotaStore: Sendable {
    let database: PostgresPool

    /// Throws `user_not_found`.
    package func limits(of user: UserID) async throws -> Quota { try await ledger(of: user).quota }

    /// Throws `user_not_found`.
    package func usage(of user: UserID) async throws -> QuotaUsage { try await ledger(of: user).usage }

    /// What an admin has set for the user; all `nil` if nothing.
    package func overrides(of user: UserID) async throws -> QuotaOverrides { try await ledger(of: user).overrides }

    /// Replaces what was set for the user before; `nil` is the tier's again. Seen by the next call, the network by
    /// what is run once gateways have heard of it; what else the user has above it stays. Throws `user_not_found`, and
    /// `invalid_request` for a negative figure.
    @discardableResult
    package func set(
        _ overrides: QuotaOverrides, of user: UserID, by actor: AuditActor, requestID: String? = nil
    ) async throws -> Quota {
        var detail: [String: String] = [:]
        for (name, value) in overrides.fields {
            guard value.map({ (0...1_000_000_000).contains($0) }) ?? true else {
                throw ServiceError.invalid(name, "is \(value ?? 0)", "Give 0 to 1000000000, or null for the tier's.")
            }
            detail[name] = value.map { "\($0)" }
        }
        detail["network"] = overrides.network?.rawValue
        return try await ServiceError.translating("Quota of user \(user) not set") {
            let line = AuditLog.line(
                "quota.set", owner: "user_id", from: "changed", actor: actor, requestID: requestID, detail: detail)
            return try await database.withTransaction { connection in
                let ledger = try await Self.ledger(of: user, on: connection, locking: true)
                try await connection.execute(
                    """
                    WITH changed AS (
                        INSERT INTO user_quotas (user_id, environments, running_environments, vcpus, memory_mb,
                            disk_mb, runtime_hours, network)
                        VALUES (\(user), \(overrides.environments), \(overrides.runningEnvironments),
                            \(overrides.vcpus), \(overrides.memoryMb), \(overrides.diskMb), \(overrides.runtimeHours),
                            \(overrides.network))
                        ON CONFLICT (user_id) DO UPDATE SET environments = excluded.environments,
                            running_environments = excluded.running_environments, vcpus = excluded.vcpus,
                            memory_mb = excluded.memory_mb, disk_mb = excluded.disk_mb,
                            runtime_hours = excluded.runtime_hours, network = excluded.network,
                            updated_at = now()
                        RETURNING user_id),
                    \(line)
                    SELECT user_id FROM changed
                    """)
                let quota = Quota(tier: ledger.tier, overrides: overrides)
                let hasNetwork = quota.network == .egress
                try await connection.execute(
                    """
                    UPDATE dev_environments SET network = \(hasNetwork)
                    WHERE user_id = \(user) AND state <> 'destroyed' AND network <> \(hasNetwork)
                    """)
                return quota
            }
        }
    }

    /// Removes the oldest runs that ended more than `age` ago, at most `limit` at once, and returns how many. For the sweep,
    /// which calls until it is none. The month's hours are counted from them: `age` must be longer than a month.
    package func pruneRuns(olderThan age: Duration, limit: Int) async throws -> Int {
        try await ServiceError.translating("Runs of VMs not pruned") {
            // What still runs has no time there, and stays.
            try await database.prune("environment_runs", by: "stopped_at", olderThan: age, limit: limit)
        }
    }

    // MARK: Counting

    /// One user's side and the other of the account.
    struct Ledger: Sendable {
        let tier: Tier
        let isSuspended: Bool
        let overrides: QuotaOverrides
        let usage: QuotaUsage

        var quota: Quota { Quota(tier: tier, overrides: overrides) }
    }

    /// States in which a machine is up, or on its way up or down.
    static let runningStates = "('requested', 'provisioning', 'starting', 'running', 'stopping')"

    /// What of the runs of `environment_runs` lies between `moment.month` and `moment.now`, in seconds.
    static let secondsOfMonth = """
        COALESCE(sum(extract(epoch FROM GREATEST(interval '0',
            LEAST(COALESCE(stopped_at, now), now) - GREATEST(started_at, month)))), 0)
        """

    func ledger(of user: UserID, at now: Date? = nil) async throws -> Ledger {
        try await ServiceError.translating("Quota of user \(user) not read") {
            try await database.withConnection { try await Self.ledger(of: user, on: $0, locking: false, at: now) }
        }
    }

    /// Reads the account as it is now. With `locking`, in a transaction, nobody else changes it before that ends.
    ///
    /// The lock comes in a statement of its own, so that what is counted after it was committed before it. `NO KEY`:
    /// whoever writes a row that names the user (a line of the audit log, say) need not wait.
    static func ledger(
        of user: UserID, on connection: PostgresConnection, locking: Bool, at now: Date? = nil
    ) async throws -> Ledger {
        if locking {
            _ = try await connection.query("SELECT id FROM users WHERE id = \(user) FOR NO KEY UPDATE")
        }
        let rows = try await connection.query(
            """
            WITH moment AS (
                SELECT COALESCE(\(now)::timestamptz, now()) AS now,
                    date_trunc('month', COALESCE(\(now)::timestamptz, now()), 'UTC') AS month),
            living AS (
                SELECT count(*) AS environments, COALESCE(sum(vcpus), 0) AS used_vcpus,
                    COALESCE(sum(memory_mb), 0) AS used_memory_mb, COALESCE(sum(disk_mb), 0) AS used_disk_mb,
                    count(*) FILTER (WHERE state IN \(raw: runningStates)) AS running
                FROM dev_environments WHERE user_id = \(user) AND state <> 'destroyed'),
            runtime AS (
                SELECT \(raw: secondsOfMonth) AS seconds FROM environment_runs, moment
                WHERE user_id = \(user) AND (stopped_at IS NULL OR stopped_at > month))
            SELECT users.tier, users.suspended_at IS NOT NULL AS is_suspended,
                quotas.environments AS max_environments, quotas.running_environments AS max_running,
                quotas.vcpus AS max_vcpus, quotas.memory_mb AS max_memory_mb, quotas.disk_mb AS max_disk_mb,
                quotas.runtime_hours AS max_hours, quotas.network AS set_network,
                living.*, runtime.seconds::bigint AS runtime_seconds
            FROM users LEFT JOIN user_quotas AS quotas ON quotas.user_id = users.id, living, runtime
            WHERE users.id = \(user)
            """)
        guard let row = rows.first else {
            throw ServiceError(.userNotFound, "There is no user \(user).", hint: "Check the id.")
        }
        return Ledger(
            tier: try row.decode("tier"), isSuspended: try row.decode("is_suspended"),
            overrides: QuotaOverrides(
                environments: try row.decode("max_environments"), runningEnvironments: try row.decode("max_running"),
                vcpus: try row.decode("max_vcpus"), memoryMb: try row.decode("max_memory_mb"),
                diskMb: try row.decode("max_disk_mb"), runtimeHours: try row.decode("max_hours"),
                network: try row.decode("set_network")),
            usage: QuotaUsage(
                environments: try row.decode("environments"), runningEnvironments: try row.decode("running"),
                vcpus: try row.decode("used_vcpus"), memoryMb: try row.decode("used_memory_mb"),
                diskMb: try row.decode("used_disk_mb"), runtimeSeconds: try row.decode("runtime_seconds")))
    }
}
