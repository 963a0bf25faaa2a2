import Synchronization

/// A job's lock as the worker that holds it sees it. The lock is ours as long as it is renewed within its duration;
/// once it may be another's the handler is cancelled.
final class Lease: Sendable {
    let job: String
    let token: String

    private struct State {
        var renewedAt = ContinuousClock.now  // before the request was sent, so never later than at the server
        var isLost = false
        var handler: Task<String?, any Error>?
    }
    private let state = Mutex(State())

    init(job: String, token: String) {
        self.job = job
        self.token = token
    }

    var isLost: Bool { state.withLock { $0.isLost } }

    func isOlder(than age: Duration) -> Bool {
        state.withLock { $0.renewedAt.duration(to: .now) > age }
    }

    /// Lends the handler's task, to be cancelled when the lock is lost; at once if it was.
    func guards(_ task: Task<String?, any Error>) {
        let isLost = state.withLock { state in
            state.handler = task
            return state.isLost
        }
        if isLost { task.cancel() }
    }

    func renewed(at time: ContinuousClock.Instant) {
        state.withLock { $0.renewedAt = max($0.renewedAt, time) }
    }

    func lose() {
        let handler = state.withLock { state in
            state.isLost = true
            return state.handler
        }
        handler?.cancel()
    }
}

/// The leases of a worker's running jobs.
final class LeaseTable: Sendable {
    private let leases = Mutex<[ObjectIdentifier: Lease]>([:])

    var all: [Lease] { leases.withLock { Array($0.values) } }

    func insert(_ lease: Lease) { leases.withLock { $0[ObjectIdentifier(lease)] = lease } }

    func remove(_ lease: Lease) { leases.withLock { $0[ObjectIdentifier(lease)] = nil } }
}
