package import Foundation

/// How a job is to be run, retried and kept.
package struct JobOptions: Hashable, Sendable {
    /// Chosen by the producer: while a job of this id exists, adding it again does nothing. Nil: numbered by the queue.
    package var jobID: String?
    package var attempts = 1  // runs in all, the first included
    package var backoff: Backoff?  // nil: again at once
    package var delay = Duration.zero  // before the first attempt
    package var priority = 0  // 0: none, taken before all others; else 1 (best) to 2097151
    package var lifo = false  // to the front of the queue
    package var removeOnComplete: Retention?  // nil: as the worker has it, else all are kept
    package var removeOnFail: Retention?
    package var deduplication: Deduplication?
    package var keepLogs: Int?  // newest log rows kept; nil: all
    package var stackTraceLimit: Int?  // newest failures kept; nil: 10
    package var timestamp: Date?  // when it was made; nil: now

    package init(
        jobID: String? = nil, attempts: Int = 1, backoff: Backoff? = nil, delay: Duration = .zero, priority: Int = 0,
        lifo: Bool = false, removeOnComplete: Retention? = nil, removeOnFail: Retention? = nil,
        deduplication: Deduplication? = nil, keepLogs: Int? = nil
    ) {
        self.jobID = jobID
        self.attempts = attempts
        self.backoff = backoff
        self.delay = delay
        self.priority = priority
        self.lifo = lifo
        self.removeOnComplete = removeOnComplete
        self.removeOnFail = removeOnFail
        self.deduplication = deduplication
        self.keepLogs = keepLogs
    }
}

/// How long to wait before the next attempt.
package struct Backoff: Hashable, Sendable {
    package enum Growth: String, Sendable { case fixed, exponential }

    package var growth: Growth
    package var delay: Duration
    package var jitter = 0.0  // 0 to 1: the part of the delay that is left to chance

    package init(_ growth: Growth, _ delay: Duration, jitter: Double = 0) {
        self.growth = growth
        self.delay = delay
        self.jitter = jitter
    }

    package static func fixed(_ milliseconds: Int) -> Backoff { Backoff(.fixed, .milliseconds(milliseconds)) }
    /// So long after the first failure, then twice as long each time.
    package static func exponential(_ milliseconds: Int) -> Backoff {
        Backoff(.exponential, .milliseconds(milliseconds))
    }

    /// Milliseconds to wait after the `attempt`-th attempt (from 1) has failed; `chance` is between 0 and 1.
    func milliseconds(afterAttempt attempt: Int, chance: Double) -> Int {
        var wait = Double(delay.milliseconds)
        guard wait > 0 else { return 0 }
        if growth == .exponential { wait = (wait * pow(2, Double(attempt - 1))).rounded() }
        wait = min(wait, 1e12)  // thirty years: later than any score may be
        if jitter > 0 { wait = (wait * (1 - min(jitter, 1) * chance)).rounded(.down) }
        return max(0, Int(wait))
    }
}

/// Which finished jobs stay.
package enum Retention: Hashable, Sendable {
    case keepAll
    case removeAll
    /// The newest `count`, and none older than `age`; `limit` is how many of these one end removes at most.
    case keep(count: Int?, age: Duration?, limit: Int? = nil)

    package static func keepLast(_ count: Int) -> Retention { .keep(count: count, age: nil) }
}

/// Lets one job stand for all that are added with the same id.
package struct Deduplication: Hashable, Sendable {
    package var id: String
    /// How long the id is held, whatever becomes of the job; nil: until the job has ended.
    package var expiry: Duration?
    package var extends = false  // every further add begins the expiry anew
    package var replaces = false  // a job that is still delayed gives way to the newer one
    package var keepsLastIfActive = false  // the last one added while the job runs is run after it; no expiry

    package init(
        id: String, expiry: Duration? = nil, extends: Bool = false, replaces: Bool = false,
        keepsLastIfActive: Bool = false
    ) {
        self.id = id
        self.expiry = expiry
        self.extends = extends
        self.replaces = replaces
        self.keepsLastIfActive = keepsLastIfActive
    }

    /// As the script takes them.
    var flags: String { (extends ? "e" : "") + (replaces ? "r" : "") + (keepsLastIfActive ? "k" : "") }
}

extension Duration {
    var milliseconds: Int {
        let (seconds, attoseconds) = components
        let whole = Int(max(-1 << 52, min(1 << 52, seconds)))  // what other clients write may be any number
        return whole * 1_000 + Int(attoseconds / 1_000_000_000_000_000)
    }
}

extension Date {
    init(milliseconds: Int) { self.init(timeIntervalSince1970: Double(milliseconds) / 1_000) }
    var milliseconds: Int { Int((timeIntervalSince1970 * 1_000).rounded()) }
}
