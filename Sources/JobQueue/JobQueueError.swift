package import Foundation

/// Why a queue refused. ``Code-swift.enum`` is the contract: added to, never renamed or reused.
package struct JobQueueError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidJob = "queue_invalid_job"  // what was to be added is not allowed
        case invalidSetting = "queue_invalid_setting"
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

    /// What a script's negative answer means (sheet, section 8; from -100 on our own). `job` is nil where it is about
    /// the queue.
    init(status: Int, job: String? = nil, queue: String) {
        let subject = job.map { "Job '\($0)' of queue '\(queue)'" } ?? "Queue '\(queue)'"
        switch status {
        case -1: self.init(.jobMissing, "\(subject) does not exist.", hint: "It may have been removed.")
        case -2: self.init(.lockLost, "\(subject) is not locked any more.", hint: "It will be run again.")
        case -3: self.init(.wrongState, "\(subject) is not in the state this needs.", hint: "Look at its state.")
        case -4, -9:
            self.init(.wrongState, "\(subject) has children that have not succeeded.", hint: "Finish them first.")
        case -6: self.init(.lockLost, "\(subject) is locked by another worker.", hint: "That one finishes it.")
        case -100:
            self.init(
                .unsupportedQueue,
                "Queue '\(queue)' has job schedulers, which would stop if worked on by this program.",
                hint: "Remove them ('repeat' in BullMQ) or use another queue.")
        case -101:
            self.init(
                .unsupportedQueue,
                "Queue '\(queue)' has jobs of flows, whose parents would wait for ever if worked on by this program.",
                hint: "Let BullMQ's own workers run them, or use another queue.")
        default:
            self.init(.malformedReply, "\(subject): script answered \(status).", hint: "Is the Redis server supported?")
        }
    }

}

/// Thrown by a handler when trying again is vain: the job fails now, whatever attempts are left.
package struct UnrecoverableJobError: Error, Sendable, CustomStringConvertible {
    package let reason: String
    package init(reason: String) { self.reason = reason }
    package var description: String { reason }
}

/// Thrown by a handler that cannot run the job now, or not here: it is delayed, and the attempt does not count.
package struct DelayedJob: Error, Sendable, CustomStringConvertible {
    package let until: Date
    package init(until: Date) { self.until = until }
    package init(for duration: Duration) {
        self.init(until: Date(milliseconds: Date().milliseconds + duration.milliseconds))
    }
    package var description: String { "delayed by its handler" }
}
