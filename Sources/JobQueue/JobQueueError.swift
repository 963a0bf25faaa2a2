/// Why a queue refused. ``Code-swift.enum`` is the contract: added to, never renamed or reused.
package struct JobQueueError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidJob = "queue_invalid_job"  // what was to be added is not allowed
        case unsupportedQueue = "queue_unsupported"  // it holds what this program would damage
        case jobMissing = "queue_job_missing"
        case jobLocked = "queue_job_locked"  // a worker has it
        case lockLost = "queue_lock_lost"  // another worker has it, or may
        case wrongState = "queue_job_wrong_state"
        case malformedReply = "queue_malformed_reply"
    }

    package let code: Code
    package let message: String
    package let hint: String

    package var description: String { "\(code.rawValue): \(message) \(hint)" }

    init(_ code: Code, _ message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    /// What a script's negative answer means (sheet, section 8).
    init(status: Int, job: String, queue: String) {
        let subject = "Job '\(job)' of queue '\(queue)'"
        switch status {
        case -1: self.init(.jobMissing, "\(subject) does not exist.", hint: "It may have been removed.")
        case -2: self.init(.lockLost, "\(subject) is not locked any more.", hint: "It will be run again.")
        case -3: self.init(.wrongState, "\(subject) is not in the state this needs.", hint: "Look at its state.")
        case -4, -9:
            self.init(.wrongState, "\(subject) has children that have not succeeded.", hint: "Finish them first.")
        case -6: self.init(.lockLost, "\(subject) is locked by another worker.", hint: "That one finishes it.")
        default:
            self.init(.malformedReply, "\(subject): script answered \(status).", hint: "Is the Redis server supported?")
        }
    }

    static func hasSchedulers(queue: String) -> JobQueueError {
        JobQueueError(
            .unsupportedQueue, "Queue '\(queue)' has job schedulers, which would stop if worked on by this program.",
            hint: "Remove them ('repeat' in BullMQ) or use another queue.")
    }
}

/// Thrown by a handler when trying again is vain: the job fails now, whatever attempts are left.
package struct UnrecoverableJobError: Error, Sendable, CustomStringConvertible {
    package let reason: String
    package init(reason: String) { self.reason = reason }
    package var description: String { reason }
}
