import EventLoop
import Synchronization

/// Events on their way from the run to whoever reads them. Bounded: ``send(_:)`` suspends while
/// ``capacity`` bytes are unread, so a slow reader holds up the channel, the SSH window and, in the end, the writer
/// in the VM.
final class EventQueue: Sendable {
    private struct State {
        var events: [ExecutionEvent] = []
        var bytes = 0
        var isFinished = false
        var lastEvent = ContinuousClock.now
        var reader: Waiter<Void>?
        var writer: Waiter<Void>?
    }

    /// Unread bytes at which the writer waits; what came together may be above it.
    static let capacity = 128 << 10

    private let state = Mutex(State())
    private let onEvent: @Sendable (ExecutionEvent) -> Void

    /// `onEvent` is called with each event as it is added, keepalives left out.
    init(onEvent: @escaping @Sendable (ExecutionEvent) -> Void = { _ in }) { self.onEvent = onEvent }

    /// Adds an event and returns once there is room for the next. Throws `CancellationError`. One task at a time.
    func send(_ event: ExecutionEvent) async throws { try await send([event]) }

    /// The same of several, which are read together.
    func send(_ events: [ExecutionEvent]) async throws {
        events.forEach(onEvent)
        let full: Waiter<Void>? = state.withLock { state in
            guard !state.isFinished else { return nil }
            state.events += events
            for event in events { state.bytes += event.weight }
            state.lastEvent = .now
            state.reader?.resume(with: .success(()))
            state.reader = nil
            guard state.bytes >= Self.capacity else { return nil }
            let waiter = Waiter<Void>()
            state.writer = waiter
            return waiter
        }
        try await full?.value()
    }

    /// Adds a keepalive if nothing was sent for `silence` and everything was read. Returns when to ask again.
    func keepAlive(after silence: Duration) -> ContinuousClock.Instant? {
        state.withLock { state in
            guard !state.isFinished else { return nil }
            let due = state.lastEvent + silence
            guard due <= .now else { return due }
            state.lastEvent = .now
            if state.events.isEmpty {
                state.events.append(.keepalive)
                state.reader?.resume(with: .success(()))
                state.reader = nil
            }
            return state.lastEvent + silence
        }
    }

    /// Adds the last event, if any, without waiting for room: nothing follows it. What is unread can still be read.
    func finish(with last: ExecutionEvent? = nil) {
        if let last { onEvent(last) }
        state.withLock { state in
            if let last, !state.isFinished { state.events.append(last) }
            state.isFinished = true
            state.reader?.resume(with: .success(()))
            state.reader = nil
            state.writer?.resume(with: .success(()))
            state.writer = nil
        }
    }

    /// Whether nothing is unread and nothing will come.
    var isAtEnd: Bool { state.withLock { $0.isFinished && $0.events.isEmpty } }

    /// Everything unread, at least one event; `nil` at the end. Throws `CancellationError`. One task at a time.
    func nextBatch() async throws -> [ExecutionEvent]? {
        while true {
            enum Step {
                case batch([ExecutionEvent])
                case end
                case wait(Waiter<Void>)
            }
            let step: Step = state.withLock { state in
                if !state.events.isEmpty {
                    state.writer?.resume(with: .success(()))
                    state.writer = nil
                    state.bytes = 0
                    defer { state.events = [] }
                    return .batch(state.events)
                }
                if state.isFinished { return .end }
                let waiter = Waiter<Void>()
                state.reader = waiter
                return .wait(waiter)
            }
            switch step {
            case .batch(let events): return events
            case .end: return nil
            case .wait(let waiter): try await waiter.value()
            }
        }
    }
}

extension ExecutionEvent {
    /// What the event counts for in a queue, in bytes.
    fileprivate var weight: Int {
        switch self {
        case .output(_, let bytes): bytes.count + 64
        case .status, .started, .keepalive, .exit, .error: 64
        }
    }
}

/// The events of one execution, pulled: what is not read is not produced. Single pass.
package struct ExecutionEvents: AsyncSequence, Sendable {
    let queue: EventQueue

    package struct AsyncIterator: AsyncIteratorProtocol {
        let queue: EventQueue
        var batch: [ExecutionEvent] = []
        var index = 0

        package mutating func next() async throws -> ExecutionEvent? {
            if index == batch.count {
                guard let next = try await queue.nextBatch() else { return nil }
                batch = next
                index = 0
            }
            defer { index += 1 }
            return batch[index]
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(queue: queue) }

    /// All events that are ready, at least one, so that they can share one write; `nil` at the end.
    package func nextBatch() async throws -> [ExecutionEvent]? { try await queue.nextBatch() }

    /// Whether all have been handed out.
    package var isAtEnd: Bool { queue.isAtEnd }

    /// A stream of events made by hand: what `produce` sends, until it returns.
    package static func produced(
        by produce:
            @escaping @Sendable (_ send: @escaping @Sendable (ExecutionEvent) async throws -> Void) async throws
            -> Void,
        _ body: (ExecutionEvents) async throws -> Void
    ) async throws {
        let queue = EventQueue()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                defer { queue.finish() }
                try await produce { try await queue.send($0) }
            }
            defer { group.cancelAll() }
            try await body(ExecutionEvents(queue: queue))
        }
    }
}
