import Synchronization

/// A job's lock as the worker that holds it sees it. The lock is ours as long as it is renewed within its duration;
/// once it may be another's the handler is cancelled.
final class Lease: Sendable {
    let job: String
    let token: String

    private struct State {
        var renewedAt = ContinuousClock.now  // before the request was sent, so never later than at the server
        var isLost = false
    }
    private let state = Mutex(State())
    private let lane: Lane

    init(job: String, token: String, lane: Lane) {
        self.job = job
        self.token = token
        self.lane = lane
    }

    var isLost: Bool { state.withLock { $0.isLost } }

    func isOlder(than age: Duration) -> Bool {
        state.withLock { $0.renewedAt.duration(to: .now) > age }
    }

    func renewed(at time: ContinuousClock.Instant) {
        state.withLock { $0.renewedAt = max($0.renewedAt, time) }
    }

    func lose() {
        state.withLock { $0.isLost = true }
        lane.cancel()
    }
}

/// The task that runs one job after the other. Its cancellation reaches the handler of a job and nothing else: the word
/// on how a job ended may bring the next one, so it must not be given up half-way.
final class Lane: Sendable {
    private struct State {
        var task: Task<Void, Never>?
        var isHandling = false
        var isCancelled = false
    }
    private let state = Mutex(State())

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Runs `work` to its end in a task of its own, which the caller waits for. Cancelling the caller cancels the lane.
    func run(_ work: @escaping @Sendable () async -> Void) async {
        let task = Task { await work() }
        let isLate = state.withLock { state in
            state.task = task
            return state.isHandling && state.isCancelled
        }
        if isLate { task.cancel() }
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            cancel()
        }
    }

    /// Runs a handler, which is the part of the work that may be cancelled; nil if it was before it began.
    func handling<Value>(_ handler: () async throws -> Value) async throws -> Value? {
        let mayBegin = state.withLock { state in
            state.isHandling = !state.isCancelled
            return state.isHandling
        }
        guard mayBegin else { return nil }
        defer { state.withLock { $0.isHandling = false } }
        return try await handler()
    }

    func cancel() {
        let task = state.withLock { state in
            state.isCancelled = true
            return state.isHandling ? state.task : nil
        }
        task?.cancel()
    }
}

/// The leases of a worker's running jobs.
final class LeaseTable: Sendable {
    private let leases = Mutex<[ObjectIdentifier: Lease]>([:])

    var all: [Lease] { leases.withLock { Array($0.values) } }

    func insert(_ lease: Lease) { leases.withLock { $0[ObjectIdentifier(lease)] = lease } }

    func remove(_ lease: Lease) { leases.withLock { $0[ObjectIdentifier(lease)] = nil } }
}
