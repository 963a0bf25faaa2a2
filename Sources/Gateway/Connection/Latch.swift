import EventLoop
import Synchronization

/// Something that happens once, and any number of tasks that wait for it.
final class Latch: Sendable {
    private enum State {
        case closed(waiters: [ObjectIdentifier: Waiter<Void>])
        case open
    }
    private let state = Mutex(State.closed(waiters: [:]))

    var isOpen: Bool {
        state.withLock {
            if case .open = $0 { true } else { false }
        }
    }

    /// Lets everybody through, now and later. Never blocks.
    func open() {
        let waiters: [Waiter<Void>] = state.withLock { state in
            guard case .closed(let waiters) = state else { return [] }
            state = .open
            return Array(waiters.values)
        }
        for waiter in waiters { waiter.resume(with: .success(())) }
    }

    /// Returns once it is open. Throws `CancellationError`.
    func wait() async throws {
        let waiter = Waiter<Void>()
        guard change({ $0[ObjectIdentifier(waiter)] = waiter }) else { return }
        defer { _ = change { $0[ObjectIdentifier(waiter)] = nil } }
        try await waiter.value()
    }

    /// Changes who waits, and says whether it is still closed.
    private func change(_ body: (inout [ObjectIdentifier: Waiter<Void>]) -> Void) -> Bool {
        state.withLock { state in
            guard case .closed(var waiters) = state else { return false }
            state = .open  // lets go of the dictionary, so that it is changed and not copied
            body(&waiters)
            state = .closed(waiters: waiters)
            return true
        }
    }
}
