import Logging

/// What a handler can do with the job it runs.
package struct JobContext: Sendable {
    package let job: Job
    package let token: String  // of the lock
    let queue: JobQueue
    let logger: Logger

    /// Whether a failure now is final.
    package var isLastAttempt: Bool { job.attemptsMade + 1 >= job.options.attempts }

    /// Adds a row to the job's log. A row that cannot be stored is reported and dropped: it must not fail the job.
    package func log(_ row: String) async {
        do {
            try await queue.addLog(row, to: job.id, keeping: job.options.keepLogs)
        } catch {
            logger.warning("job log row lost", metadata: ["job": "\(job.id)", "reason": "\(error)"])
        }
    }

    /// Stores how far the job is, as JSON text, and tells the listeners.
    package func updateProgress(_ json: String) async throws {
        try await queue.updateProgress(json, of: job.id)
    }
}
