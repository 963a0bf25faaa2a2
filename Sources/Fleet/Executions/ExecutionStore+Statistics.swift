package import Foundation
import PostgreSQL

/// How executions went, over everybody, in a time.
package struct ExecutionStats: Sendable, Hashable {
    package let byState: [ExecutionState: Int]
    // Of those that ended by themselves; `nil` if none did.
    package let medianMs: Double?
    package let percentile95Ms: Double?

    package var total: Int { byState.values.reduce(0, +) }
}

/// The executions that began in one minute.
package struct ExecutionMinute: Sendable, Hashable {
    package let minute: Date
    package let count: Int
    /// Those that never ran, or were lost.
    package let failed: Int
}

extension ExecutionStore {
    /// An environment's executions, newest first, at most 500; `before` continues after the last of a page.
    package func list(
        environment: EnvironmentID, limit: Int = 50, before: ExecutionID? = nil
    ) async throws -> [ExecutionSummary] {
        let rest: SQL =
            if let before {
                """
                AND (started_at, id) < (
                    SELECT started_at, id FROM environment_executions
                    WHERE id = \(before) AND environment_id = \(environment))
                """
            } else {
                ""
            }
        try await admit { $0.environmentID == environment }
        return try await settled {
            try await ServiceError.translating("Executions not read") {
                try await database.query(
                    """
                    SELECT \(raw: Self.columns) FROM environment_executions
                    WHERE environment_id = \(environment) \(rest)
                    ORDER BY started_at DESC, id DESC LIMIT \(min(max(limit, 1), 500))
                    """
                ).map(ExecutionSummary.init)
            }
        }
    }

    /// Over those that began since then.
    package func stats(since: Date) async throws -> ExecutionStats {
        try await ServiceError.translating("Executions not counted") {
            let rows = try await database.query(
                """
                SELECT state, count(*) AS count,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS median,
                    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_ms) AS percentile
                FROM environment_executions WHERE started_at >= \(since) GROUP BY state
                """)
            var byState: [ExecutionState: Int] = [:]
            var (median, percentile): (Double?, Double?)
            for row in rows {
                let state: ExecutionState = try row.decode("state")
                byState[state] = try row.decode("count")
                guard state == .exited else { continue }
                median = try row.decode("median")
                percentile = try row.decode("percentile")
            }
            return ExecutionStats(byState: byState, medianMs: median, percentile95Ms: percentile)
        }
    }

    /// How many began in each of the last `minutes` minutes, the present one last, those with none among them; at most
    /// a day.
    package func perMinute(_ minutes: Int = 60, now: Date? = nil) async throws -> [ExecutionMinute] {
        try await ServiceError.translating("Executions not counted") {
            try await database.query(
                """
                WITH present AS (SELECT date_trunc('minute', COALESCE(\(now)::timestamptz, now())) AS minute)
                SELECT minutes.minute, count(id) AS count,
                    count(id) FILTER (WHERE state IN ('failed', 'lost')) AS failed
                FROM present, generate_series(
                        present.minute - make_interval(mins => \(min(max(minutes, 1), 1_440) - 1)), present.minute,
                        interval '1 minute') AS minutes (minute)
                    LEFT JOIN environment_executions
                        ON started_at >= minutes.minute AND started_at < minutes.minute + interval '1 minute'
                GROUP BY minutes.minute ORDER BY minutes.minute
                """
            ).map {
                ExecutionMinute(
                    minute: try $0.decode("minute"), count: try $0.decode("count"), failed: try $0.decode("failed"))
            }
        }
    }

    /// Removes the oldest that ended and began more than `age` ago, at most `limit` at once, and returns how many. For the
    /// sweep, which calls until it is none.
    package func prune(olderThan age: Duration, limit: Int) async throws -> Int {
        try await ServiceError.translating("Executions not pruned") {
            try await database.prune(
                "environment_executions", by: "started_at", olderThan: age, where: "state <> 'running'", limit: limit)
        }
    }
}
