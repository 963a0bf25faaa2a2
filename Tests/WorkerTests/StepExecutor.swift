import Dispatch
import Synchronization

/// Runs a task on a thread of its own, and does something to it at the n-th time that the task goes on after having waited:
/// before a test's work goes past any point at which it may be cut off, it can be.
///
/// Every `await` that really waits ends in one more step. What actors do (connections, providers) is not counted, only
/// where the work itself comes back.
final class StepExecutor: TaskExecutor {
    private struct State {
        var steps = 0
        var isReached = false
    }

    private let step: Int
    private let action: @Sendable () async -> Void
    private let queue = DispatchQueue(label: "steps")
    private let state = Mutex(State())

    /// `action` is done before step number `step`, which waits for its end.
    init(before step: Int, _ action: @escaping @Sendable () async -> Void) {
        self.step = step
        self.action = action
    }

    /// Whether there were so many steps.
    var isReached: Bool { state.withLock { $0.isReached } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isDue = state.withLock { state in
            state.steps += 1
            if state.steps == step { state.isReached = true }
            return state.steps == step
        }
        guard isDue else { return run(job) }
        Task {
            await action()
            run(job)
        }
    }

    private func run(_ job: UnownedJob) {
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
