/// How often a job is tried, and how long it rests in between.
package struct JobPolicy: Sendable, Hashable {
    /// Runs in all, the first included.
    package var attempts: Int
    /// Before the second attempt; it doubles with every further one.
    package var backoff: Duration

    package init(attempts: Int, backoff: Duration) {
        self.attempts = attempts
        self.backoff = backoff
    }

    var backoffMs: Int { max(1, Int(backoff / .milliseconds(1))) }
}

/// The policies of both queues. They are written into each job when it is made, so every process that makes jobs needs
/// them, gateways too.
package struct JobPolicies: Sendable, Hashable {
    package var provision = JobPolicy(attempts: 3, backoff: .seconds(5))
    package var control = JobPolicy(attempts: 2, backoff: .seconds(2))

    package init() {}

    subscript(action: EnvironmentAction) -> JobPolicy {
        switch action {
        case .provision: provision
        case .start, .stop, .destroy, .reconcile: control
        }
    }
}
