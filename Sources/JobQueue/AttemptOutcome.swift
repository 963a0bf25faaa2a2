/// How an attempt ended, and what follows from it (sheet, 4.5).
enum AttemptOutcome: Hashable, Sendable {
    case completed(returnValue: String)
    case failed(reason: String)  // for good
    case retryNow(reason: String)
    case retryLater(reason: String, milliseconds: Int)
    case putBack  // the worker was told to stop: the attempt does not count
    case postponed(milliseconds: Int)  // not for this worker: the attempt does not count

    static let reasonLimit = 8_192  // characters of a failure's text

    /// What follows from an error of the handler at `now` (ms). `chance` (0 to 1) decides the backoff's jitter.
    init(of job: Job, failingWith error: any Error, chance: Double, now: Int) {
        if let error = error as? DelayedJob {
            self = .postponed(milliseconds: max(0, error.until.milliseconds - now))
            return
        }
        let reason = String("\(error)".prefix(Self.reasonLimit))
        let attempt = job.attemptsMade + 1
        if error is UnrecoverableJobError || attempt >= job.options.attempts {
            self = .failed(reason: reason)
            return
        }
        let wait = job.options.backoff?.milliseconds(afterAttempt: attempt, chance: chance) ?? 0
        self = wait > 0 ? .retryLater(reason: reason, milliseconds: wait) : .retryNow(reason: reason)
    }
}
