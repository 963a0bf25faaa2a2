package import JobQueue

/// The queues as admins see and handle them: by name, with a line in the audit log for whatever is done.
///
/// A job that has failed for good left its environment in `error`, a generation further: to run it once more as it was
/// would find nothing to do. To retry it is therefore to ask for its work anew, by a move out of `error`, and the job
/// that follows from that move takes its place.
package struct QueueDesk: Sendable {
    let queues: [JobQueue]
    let environments: EnvironmentStore
    let audit: AuditLog

    /// Most jobs that one ``retryAll(in:by:requestID:)`` looks at.
    package static let batch = 1_000

    package var names: [String] { queues.map(\.name) }

    // MARK: Queues

    package func reports() async throws -> [QueueReport] {
        var reports: [QueueReport] = []
        for queue in queues { reports.append(try await report(queue)) }
        return reports
    }

    /// Throws `queue_not_found`; so do all below.
    package func report(_ name: String) async throws -> QueueReport { try await report(find(name)) }

    /// Lets no worker take a job until it is resumed; running ones end, new ones are added.
    package func pause(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> QueueReport {
        let queue = try find(name)
        try await Self.translating("Queue '\(name)' not paused") { try await queue.pause() }
        try await audit.record("queue.pause", actor: actor, requestID: requestID, detail: ["queue": name])
        return try await report(queue)
    }

    package func resume(_ name: String, by actor: AuditActor, requestID: String? = nil) async throws -> QueueReport {
        let queue = try find(name)
        try await Self.translating("Queue '\(name)' not resumed") { try await queue.resume() }
        try await audit.record("queue.resume", actor: actor, requestID: requestID, detail: ["queue": name])
        return try await report(queue)
    }

    /// Removes the jobs that wait, delayed ones on request, and returns how many. What an environment still waits for is
    /// added again by the sweep of stuck ones.
    package func drain(
        _ name: String, includingDelayed: Bool, by actor: AuditActor, requestID: String? = nil
    ) async throws -> Int {
        let queue = try find(name)
        let removed = try await Self.translating("Queue '\(name)' not drained") {
            try await queue.drain(includingDelayed: includingDelayed)
        }
        try await audit.record(
            "queue.drain", actor: actor, requestID: requestID, detail: ["queue": name, "removed": String(removed)])
        return removed
    }

    private func report(_ queue: JobQueue) async throws -> QueueReport {
        try await Self.translating("Queue '\(queue.name)' not read") {
            QueueReport(
                name: queue.name, isPaused: try await queue.isPaused(), counts: try await queue.counts(),
                workers: try await queue.workers().sorted())
        }
    }

    func find(_ name: String) throws -> JobQueue {
        guard let queue = queues.first(where: { $0.name == name }) else {
            throw ServiceError(
                .queueNotFound, "There is no queue '\(name.prefix(64))'.",
                hint: "There are: \(names.joined(separator: ", ")).")
        }
        return queue
    }

    // MARK: Jobs

    /// A page of the jobs in a state, newest first.
    package func jobs(in name: String, _ state: JobState, offset: Int, limit: Int) async throws -> JobPage {
        let queue = try find(name)
        return try await Self.translating("Jobs of queue '\(name)' not read") {
            try await queue.list(state, offset: offset, limit: limit)
        }
    }

    /// With the newest of its log. Throws `job_not_found`.
    package func job(_ id: String, in name: String) async throws -> JobDetail {
        let queue = try find(name)
        let detail = try await Self.translating("Job '\(id.prefix(128))' not read") { try await queue.find(id) }
        guard let detail else { throw Self.missing(id, in: name) }
        return detail
    }

    /// Lets a delayed job run as soon as it can. Throws `job_not_found`, and `illegal_transition` if it is not delayed.
    package func promote(
        _ id: String, in name: String, by actor: AuditActor, requestID: String? = nil
    ) async throws -> JobDetail {
        let job = try await job(id, in: name).job
        let queue = try find(name)
        try await Self.translating("Job '\(id)' not promoted") { try await queue.promote(id) }
        try await record("job.promote", job, in: name, by: actor, requestID)
        return try await self.job(id, in: name)
    }

    /// Removes a job with its log. Throws `job_not_found`, and `illegal_transition` while a worker has it. An
    /// environment that waits for it gets it again from the sweep of stuck ones.
    package func discard(_ id: String, in name: String, by actor: AuditActor, requestID: String? = nil) async throws {
        let job = try await job(id, in: name).job
        let queue = try find(name)
        try await Self.translating("Job '\(id)' not discarded") { try await queue.remove(id) }
        try await record("job.discard", job, in: name, by: actor, requestID)
    }

    /// Has the work of a failed job done again, and returns the id of the job that does it: its own where its
    /// environment waits for it still, else that of a new one, which takes its place.
    ///
    /// Throws `job_not_found`, `illegal_transition` where it has not failed or its environment has moved on since, and
    /// what a start throws (`quota_exceeded` and the like).
    package func retry(
        _ id: String, in name: String, by actor: AuditActor, requestID: String? = nil
    ) async throws -> String {
        let queue = try find(name)
        let job = try await job(id, in: name).job
        guard job.state == .failed else {
            throw ServiceError(
                .illegalTransition, "Job '\(id)' not retried: it is '\(job.state?.rawValue ?? "unknown")'.",
                hint: "Only failed jobs are retried; a delayed one can be promoted.")
        }
        let successor = try await successor(of: job, by: actor, requestID)
        if successor == nil {
            try await Self.translating("Job '\(id)' not retried") {
                try await queue.retry(id, forgettingAttempts: true)
            }
        } else {
            try await Self.translating("Job '\(id)' not replaced") { try await queue.remove(id) }
        }
        try await record("job.retry", job, in: name, by: actor, requestID, more: ["as": successor ?? id])
        return successor ?? id
    }

    /// Retries the failed jobs, the newest ``batch`` of them. Those that cannot be are left where they are.
    package func retryAll(
        in name: String, by actor: AuditActor, requestID: String? = nil
    ) async throws -> (retried: Int, left: Int) {
        let page = try await jobs(in: name, .failed, offset: 0, limit: Self.batch)
        var retried = 0
        for job in page.jobs {
            do {
                _ = try await retry(job.id, in: name, by: actor, requestID: requestID)
                retried += 1
            } catch let error as ServiceError where Self.concernsTheJob(error.code) {
                continue
            }
        }
        return (retried, max(0, page.total - retried))
    }

    /// Moves the environment that a job left in `error` out of it; `nil`: the job itself is to be run again.
    private func successor(of job: Job, by actor: AuditActor, _ requestID: String?) async throws -> String? {
        guard let action = EnvironmentAction(rawValue: job.name), let order = try? EnvironmentJob(json: job.data),
            let environment = try await environments.find(order.environmentID)
        else { return nil }
        if environment.pendingJob?.id == job.id { return nil }
        guard environment.state == .error, environment.generation == order.generation + 1 else {
            throw ServiceError(
                .illegalTransition,
                "Job '\(job.id)' not retried: its environment \(environment.slug) has moved on, it is "
                    + "'\(environment.state.rawValue)'.",
                hint: environment.state == .error
                    ? "Recover it: 'martlet admin vms recover \(environment.slug)'; then discard the job."
                    : "There is nothing left to do: discard the job.")
        }
        let moved = try await environments.repeatFailed(
            action, of: environment.id, actor: actor, requestID: requestID)
        return moved.pendingJob?.id
    }

    private func record(
        _ action: String, _ job: Job, in queue: String, by actor: AuditActor, _ requestID: String?,
        more: [String: String] = [:]
    ) async throws {
        let order = try? EnvironmentJob(json: job.data)
        try await audit.record(
            action, actor: actor, environment: order?.environmentID, user: order?.userID, requestID: requestID,
            detail: ["queue": queue, "job": job.id, "name": job.name].merging(more) { $1 })
    }

    // MARK: Errors

    /// Whether it says that one job cannot be retried, and nothing of the others.
    private static func concernsTheJob(_ code: ServiceError.Code) -> Bool {
        [.jobNotFound, .illegalTransition, .quotaExceeded, .hostUnavailable].contains(code)
    }

    private static func missing(_ id: String, in queue: String) -> ServiceError {
        ServiceError(
            .jobNotFound, "There is no job '\(id.prefix(128))' in queue '\(queue)'.",
            hint: "It may have ended long ago; see 'martlet admin jobs list'.")
    }

    /// As ``ServiceError/translating(_:_:)``, but tells what the queue refused.
    private static func translating<Result>(
        _ undone: @autoclosure () -> String, _ body: () async throws -> Result
    ) async throws -> Result {
        try await ServiceError.translating(undone()) {
            do {
                return try await body()
            } catch let error as JobQueueError {
                let code: ServiceError.Code? =
                    switch error.code {
                    case .jobMissing: .jobNotFound
                    case .wrongState, .jobLocked, .lockLost, .unsupportedQueue: .illegalTransition
                    case .invalidJob, .invalidSetting, .malformedReply: nil
                    }
                guard let code else { throw error }
                throw ServiceError(code, "\(undone()): \(error.message)", hint: error.hint, cause: error)
            }
        }
    }
}

/// A queue at a glance.
package struct QueueReport: Sendable {
    package let name: String
    package let isPaused: Bool
    package let counts: [JobState: Int]
    /// The names of the workers that are connected now.
    package let workers: [String]
}
