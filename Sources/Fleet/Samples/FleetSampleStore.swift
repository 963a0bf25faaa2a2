package import Foundation
import JobQueue
import PostgreSQL

/// What the fleet was like in a stretch of time.
package struct FleetSample: Sendable, Hashable {
    /// Its begin.
    package let at: Date
    // Environments, on average.
    package let running: Double
    package let asleep: Double
    package let moving: Double
    package let failed: Double
    // What began, a minute.
    package let executions: Double
    package let failedExecutions: Double
    /// Environments that came to run, a minute, and how long that took, from asking for it on, on average.
    package let coldStarts: Double
    package let coldStartMs: Double?
    // Jobs of all queues, at most.
    package let waitingJobs: Int
    package let activeJobs: Int
    package let failedJobs: Int
}

/// What the fleet was like, minute by minute, for a week: a row a minute, some ten thousand in all, whatever the fleet's
/// size. Written by a sweep; where none ran there is a gap.
package struct FleetSampleStore: Sendable {
    let database: PostgresPool
    let queues: QueueDesk

    package static let hours = 1...168
    /// The most samples that are told of any time.
    static let most = 240

    /// Writes the present minute's, unless it is there, and removes those older than a week. Whether it wrote it.
    @discardableResult
    package func record(now: Date? = nil) async throws -> Bool {
        let isThere = try await ServiceError.translating("Sample not written") {
            try await database.query(
                "SELECT 1 FROM fleet_samples WHERE at = date_trunc('minute', COALESCE(\(now)::timestamptz, now()))")
        }
        guard isThere.isEmpty else { return false }
        let reports = try await queues.reports()
        func jobs(_ states: JobState...) -> Int {
            reports.reduce(0) { sum, report in states.reduce(sum) { $0 + (report.counts[$1] ?? 0) } }
        }
        return try await ServiceError.translating("Sample not written") {
            try await database.execute(
                """
                DELETE FROM fleet_samples
                WHERE at < COALESCE(\(now)::timestamptz, now()) - make_interval(hours => \(Self.hours.upperBound))
                """)
            return try await database.execute(
                """
                WITH present AS (SELECT date_trunc('minute', COALESCE(\(now)::timestamptz, now())) AS minute)
                INSERT INTO fleet_samples
                SELECT minute, environments.*, runs.*, starts.*,
                    \(jobs(.waiting, .paused, .prioritized, .delayed))::integer, \(jobs(.active))::integer,
                    \(jobs(.failed))::integer
                FROM present, LATERAL (
                    SELECT count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state = 'stopped'),
                        count(*) FILTER (WHERE state NOT IN ('running', 'stopped', 'error')),
                        count(*) FILTER (WHERE state = 'error')
                    FROM dev_environments WHERE state <> 'destroyed') AS environments,
                LATERAL (
                    SELECT count(*), count(*) FILTER (WHERE state IN ('failed', 'lost'))
                    FROM environment_executions
                    WHERE started_at >= minute - interval '1 minute' AND started_at < minute) AS runs,
                LATERAL (
                    SELECT count(*), avg(duration_ms) FROM environment_audit_log
                    WHERE created_at >= minute - interval '1 minute' AND created_at < minute
                        AND to_state = 'running' AND from_state IN ('starting', 'provisioning')
                        AND error_code IS NULL) AS starts
                ON CONFLICT DO NOTHING
                """) > 0
        }
    }

    /// The last `hours`, oldest first, in at most 240 stretches of the same length.
    package func list(hours: Int, now: Date? = nil) async throws -> (stepMinutes: Int, samples: [FleetSample]) {
        let hours = min(max(hours, Self.hours.lowerBound), Self.hours.upperBound)
        let step = (hours * 60 + Self.most - 1) / Self.most
        let samples = try await ServiceError.translating("Samples not read") {
            try await database.query(
                """
                SELECT date_bin(make_interval(mins => \(step)), at, timestamptz '2000-01-01 00:00+00') AS since,
                    avg(running)::float8 AS running, avg(asleep)::float8 AS asleep, avg(moving)::float8 AS moving,
                    avg(failed)::float8 AS failed, avg(executions)::float8 AS executions,
                    avg(executions_failed)::float8 AS executions_failed, avg(cold_starts)::float8 AS cold_starts,
                    (sum(cold_start_ms * cold_starts) / NULLIF(sum(cold_starts), 0))::float8 AS cold_start_ms,
                    max(jobs_waiting) AS jobs_waiting, max(jobs_active) AS jobs_active, max(jobs_failed) AS jobs_failed
                FROM fleet_samples
                WHERE at >= COALESCE(\(now)::timestamptz, now()) - make_interval(hours => \(hours))
                GROUP BY since ORDER BY since
                """
            ).map { row in
                FleetSample(
                    at: try row.decode("since"), running: try row.decode("running"), asleep: try row.decode("asleep"),
                    moving: try row.decode("moving"), failed: try row.decode("failed"),
                    executions: try row.decode("executions"), failedExecutions: try row.decode("executions_failed"),
                    coldStarts: try row.decode("cold_starts"), coldStartMs: try row.decode("cold_start_ms"),
                    waitingJobs: try row.decode("jobs_waiting"), activeJobs: try row.decode("jobs_active"),
                    failedJobs: try row.decode("jobs_failed"))
            }
        }
        return (step, samples)
    }
}
