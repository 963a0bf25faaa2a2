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
    func wait() async throws { try await Self.wait(forOneOf: [self]) }

    /// Returns once one of them is open. Throws `CancellationError`.
    static func wait(forOneOf latches: [Latch]) async throws {
        let waiter = Waiter<Void>()
        var waited: [Latch] = []
        defer { for latch in waited { _ = latch.change { $0[ObjectIdentifier(waiter)] = nil } } }
        for latch in latches {
            guard latch.change({ $0[ObjectIdentifier(waiter)] = waiter }) else { return }
            waited.append(latch)
        }
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
