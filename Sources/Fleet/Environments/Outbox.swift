package import JobQueue
import Logging
import PostgreSQL

/// A job as it stands in the outbox.
struct OutboxJob: Sendable, Hashable {
    let queue: String
    let name: String
    let jobID: String
    let data: String
    let attempts: Int
    let backoffMs: Int  // exponential

    init(action: EnvironmentAction, jobID: String, data: String, policies: JobPolicies) {
        queue = action.queue
        name = action.rawValue
        self.jobID = jobID
        self.data = data
        attempts = policies[action].attempts
        backoffMs = policies[action].backoffMs
    }

    init(row: PostgresRow) throws {
        queue = try row.decode("queue")
        name = try row.decode("name")
        jobID = try row.decode("job_id")
        data = try row.decode("data")
        attempts = try row.decode("attempts")
        backoffMs = try row.decode("backoff_ms")
    }
}

/// Carries jobs from the transaction that calls for them into Redis, so that no crash separates the two.
///
/// The row is written with the move. Whoever committed it adds the job to its queue and then removes the row; if that
/// does not happen (a crash, Redis away), ``relay(limit:olderThan:)`` does both later. A job may be added twice, by
/// both: its id is fixed by environment and generation, so the queue takes it once.
package struct Outbox: Sendable {
    let database: PostgresPool
    let queues: [String: JobQueue]  // by name
    let policies: JobPolicies
    let logger: Logger

    /// The channel on which a trigger tells of new rows.
    package static let channel = "job_outbox"

    /// Adds a committed job and removes its row. Throws nothing: what fails here is relayed later.
    func publish(_ job: OutboxJob?) async {
        guard let job else { return }
        do {
            try await add(job)
            try await database.execute("DELETE FROM job_outbox WHERE job_id = \(job.jobID)")
        } catch {
            logger.warning(
                "job left in the outbox, to be relayed", metadata: ["job_id": "\(job.jobID)", "error": "\(error)"])
        }
    }

    /// Adds the jobs whose committers did not, oldest first, and returns how many it added. Rows that another relay
    /// holds are skipped, those younger than `olderThan` are left to their committers. A job that its queue refuses is
    /// logged and stays.
    @discardableResult
    package func relay(limit: Int = 100, olderThan age: Duration = .seconds(1)) async throws -> Int {
        let seconds = age / .seconds(1)
        return try await ServiceError.translating("Outbox not relayed") {
            try await database.withTransaction { connection in
                let rows = try await connection.query(
                    """
                    SELECT id, queue, name, job_id, data, attempts, backoff_ms FROM job_outbox
                    WHERE queue = ANY(\(queues.keys.sorted())::text[])
                        AND created_at <= now() - make_interval(secs => \(seconds)::double precision)
                    ORDER BY id LIMIT \(min(max(limit, 1), 1_000)) FOR UPDATE SKIP LOCKED
                    """)
                var added: [Int] = []
                for row in rows {
                    let job = try OutboxJob(row: row)
                    do {
                        try await add(job)
                        added.append(try row.decode("id"))
                    } catch let error as ServiceError where error.cause is JobQueueError {
                        logger.error(
                            "job in the outbox refused by its queue",
                            metadata: ["job_id": "\(job.jobID)", "queue": "\(job.queue)", "error": "\(error)"])
                    }
                }
                if !added.isEmpty {
                    try await connection.execute("DELETE FROM job_outbox WHERE id = ANY(\(added)::bigint[])")
                }
                return added.count
            }
        }
    }

    /// How many jobs wait to be relayed, and for how long the oldest has, in seconds.
    package func backlog() async throws -> (count: Int, oldestSeconds: Double) {
        try await ServiceError.translating("Outbox not read") {
            let row = try await database.query(
                """
                SELECT count(*) AS count, COALESCE(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest
                FROM job_outbox
                """
            ).first
            return (try row?.decode("count") ?? 0, try row?.decode("oldest") ?? 0)
        }
    }

    /// Sees to it that the job is there which moves a transitional environment on, for when Redis lost it. Harmless
    /// when it is there, and when the environment has moved since it was read. Returns the state of the job, `failed`
    /// telling that its attempts are used up; `nil` if the environment waits for no job, or for that one no longer.
    @discardableResult
    package func ensureJob(for environment: Environment) async throws -> JobState? {
        guard let pending = environment.pendingJob else { return nil }
        let data = EnvironmentJob(
            environmentID: environment.id, userID: environment.userID, generation: environment.generation,
            requestID: nil)
        let job = OutboxJob(action: pending.action, jobID: pending.id, data: try data.json, policies: policies)
        return try await ServiceError.translating("Job \(job.jobID) not looked for") {
            let queue = try queue(of: job)
            let state = try await queue.state(of: job.jobID)
            guard state == .completed || state == .unknown else { return state }
            // A job that ended well has moved its environment. Should it not have, it has to run again.
            guard try await isCurrent(environment) else { return nil }
            if state == .completed { try await queue.remove(job.jobID) }
            try await add(job)
            return try await queue.state(of: job.jobID)
        }
    }

    /// Whether the environment has not moved since it was read.
    private func isCurrent(_ environment: Environment) async throws -> Bool {
        let rows = try await database.query(
            "SELECT FROM dev_environments WHERE id = \(environment.id) AND generation = \(environment.generation)")
        return !rows.isEmpty
    }

    /// Adds a job to its queue.
    func add(_ job: OutboxJob) async throws {
        try await ServiceError.translating("Job \(job.jobID) not queued") {
            let options = JobOptions(
                jobID: job.jobID, attempts: job.attempts, backoff: .exponential(job.backoffMs),
                removeOnComplete: .keepLast(1_000))
            try await queue(of: job).add(job.name, data: job.data, options: options)
        }
    }

    private func queue(of job: OutboxJob) throws -> JobQueue {
        guard let queue = queues[job.queue] else {
            throw ServiceError(
                .internalError, "Job \(job.jobID) is for '\(job.queue)', a queue this server does not know.",
                hint: "Operators: run the same version everywhere.")
        }
        return queue
    }
}
