import EventLoop
import Synchronization

/// The order to take no more jobs. Ends what the worker merely waits for; nothing that has begun.
final class StopSignal: Sendable {
    private struct State {
        var isGiven = false
        var onStop: (@Sendable () -> Void)?
    }
    private let state = Mutex(State())

    var isGiven: Bool { state.withLock { $0.isGiven } }

    func give() {
        let onStop = state.withLock { state in
            state.isGiven = true
            return state.onStop
        }
        onStop?()
    }

    /// Runs a wait that the signal, or cancellation of the caller, cancels: it then throws `CancellationError`. One
    /// at a time.
    func interrupting<Value: Sendable>(_ wait: @escaping @Sendable () async throws -> Value) async throws -> Value {
        let task = Task { try await wait() }  // awaited below; a task of its own so that the signal can cancel it
        let isGiven = state.withLock { state in
            state.onStop = { task.cancel() }
            return state.isGiven
        }
        defer { state.withLock { $0.onStop = nil } }
        if isGiven { task.cancel() }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }
}

/// Counts jobs that may still be started. Only one task waits, any may release.
final class Slots: Sendable {
    private struct State {
        var free: Int
        var waiter: Waiter<Void>?
    }
    private let state: Mutex<State>

    init(_ count: Int) { state = Mutex(State(free: count)) }

    /// Waits until one is free. It is not taken: see ``take()``.
    func available() async throws {
        let waiter = Waiter<Void>()
        let isFree = state.withLock { state in
            if state.free == 0 { state.waiter = waiter }
            return state.free > 0
        }
        if !isFree { try await waiter.value() }
    }

    func take() { state.withLock { $0.free -= 1 } }

    func release() {
        let waiter = state.withLock { state in
            state.free += 1
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(with: .success(()))
    }
}

/// Runs what must come to its end although the caller is cancelled. The caller waits for it; it has bounds of its own.
func shielded<Value: Sendable>(_ operation: @escaping @Sendable () async throws -> Value) async throws -> Value {
    try await Task { try await operation() }.value
}
