import Synchronization

extension EventLoop {
    /// Suspends until the descriptor is ready for `interest`, and says for what. For the actor that owns the
    /// descriptor, on this loop: it must not be watched otherwise meanwhile. Throws `CancellationError`.
    package func readiness(
        of descriptor: Int32, for interest: Readiness, isolation: isolated (any Actor)? = #isolation
    ) async throws -> Readiness {
        assertIsolated()
        defer { unwatch(descriptor) }
        return try await suspended { waiter in
            watch(descriptor, for: interest) { [self] readiness in
                setInterest(of: descriptor, to: [])  // once: the waiting task takes some turns of the loop to come back
                waiter.resume(with: .success(readiness))
            }
        }
    }

    /// Suspends for `delay`, on this loop. Throws `CancellationError`.
    package func sleep(for delay: Duration, isolation: isolated (any Actor)? = #isolation)
        async throws
    {
        assertIsolated()
        var timer: TimerID?
        defer { timer.map(cancel) }
        try await suspended { waiter in
            timer = schedule(after: delay) { waiter.resume(with: .success(())) }
        }
    }

    /// Suspends for `delay`: on the loop's own timers where the caller runs on one, which wakes no other thread. Throws
    /// `CancellationError`.
    package static func pause(for delay: Duration) async throws {
        guard let loop = current else { return try await Task.sleep(for: delay, tolerance: nil) }
        let waiter = Waiter<Void>()
        let timer = loop.schedule(after: delay) { waiter.resume(with: .success(())) }
        defer { if loop.isCurrent { loop.cancel(timer) } else { loop.execute { loop.cancel(timer) } } }
        try await waiter.value()
    }

    private func suspended<Value: Sendable>(
        isolation: isolated (any Actor)? = #isolation, _ register: (Waiter<Value>) -> Void
    ) async throws -> Value {
        let waiter = Waiter<Value>()
        register(waiter)
        return try await waiter.value()
    }
}

/// A continuation that whoever comes first resumes: the event it waits for, or the cancellation of its task.
package final class Waiter<Value: Sendable>: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Value, any Error>)
        case resumed(Result<Value, any Error>)
    }
    private let state = Mutex(State.idle)

    package init() {}

    /// Suspends until ``resume(with:)``, at once if that was called already. Throws what it was resumed with, or
    /// `CancellationError`. One caller.
    package func value(isolation: isolated (any Actor)? = #isolation) async throws -> Value {
        try await withTaskCancellationHandler {
            _ = isolation  // captured, or the closure would leave the caller's actor
            return try await withCheckedThrowingContinuation { hold($0) }
        } onCancel: {
            resume(with: .failure(CancellationError()))
        }
    }

    /// Holds the continuation until ``resume(with:)``; at once if that was called already.
    package func hold(_ continuation: CheckedContinuation<Value, any Error>) {
        let early: Result<Value, any Error>? = state.withLock { state in
            if case .resumed(let result) = state { return result }
            state = .waiting(continuation)
            return nil
        }
        if let early { continuation.resume(with: early) }
    }

    /// The first call decides; later ones do nothing.
    package func resume(with result: Result<Value, any Error>) {
        let continuation: CheckedContinuation<Value, any Error>? = state.withLock { state in
            switch state {
            case .idle:
                state = .resumed(result)
                return nil
            case .waiting(let continuation):
                state = .resumed(result)
                return continuation
            case .resumed:
                return nil
            }
        }
        continuation?.resume(with: result)
    }
}
