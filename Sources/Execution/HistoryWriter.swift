import EventLoop
import Fleet
import Logging
import Synchronization

/// What is written into the history behind its callers' backs: beginnings and ends of runs that are in the journal, and
/// ends that the database did not take when they came.
///
/// A run that has ended before its beginning was written is written once. A run waits neither for a commit nor for a history that cannot be written, and its row must not say `running` for as
/// long as the gateway lives. What is still here when the gateway dies is completed from the journal by whoever meets
/// the row; what is not in the journal either, the sweep calls `lost`.
final class HistoryWriter: Sendable {
    struct Entry: Sendable {
        let record: ExecutionRecord
        let outcome: ExecutionOutcome?  // nil: it has only begun
        let actor: AuditActor
        /// A copy is in the journal, to be taken out again.
        var isInJournal = false
    }

    /// Of at most 192 KiB each.
    static let capacity = 256
    static let lanes = 4  // that write at the same time
    static let pause = Duration.seconds(1)  // after the database took nothing
    /// Between the first entry and its writing, where there was nothing to do: the work is for after the answer of the run
    /// that brought it, and most runs have ended by then.
    static let delay = Duration.milliseconds(25)

    /// Writes what an entry says, however much of it is written already. Throws if the database does not take it.
    private let write: @Sendable (Entry) async throws -> Void
    private let logger: Logger
    private let state = Mutex(State())

    private struct State {
        var entries: [Entry] = []
        var writing = 0
        var isRunning = false
        var idle: [Waiter<Void>] = []  // lanes that have nothing to do
        var isWaking = false  // one of them, after the delay
    }

    init(logger: Logger, write: @escaping @Sendable (Entry) async throws -> Void) {
        self.logger = logger
        self.write = write
    }

    /// How many are not written yet.
    var count: Int { state.withLock { $0.entries.count + $0.writing } }

    /// `false`: there are too many already, or nobody is there to write.
    func add(_ entry: Entry) -> Bool {
        let (isTaken, wakes) = state.withLock { state in enqueue(entry, in: &state) }
        if wakes {
            if let loop = EventLoop.current { loop.schedule(after: Self.delay) { self.wake() } } else { wake() }
        }
        return isTaken
    }

    private func enqueue(_ entry: Entry, in state: inout State) -> (isTaken: Bool, wakes: Bool) {
        guard state.isRunning, state.entries.count + state.writing < Self.capacity else { return (false, false) }
        if let waiting = state.entries.firstIndex(where: { $0.record.id == entry.record.id }) {
            if entry.outcome != nil { state.entries[waiting] = entry }
            return (true, false)
        }
        state.entries.append(entry)
        guard !state.idle.isEmpty, !state.isWaking else { return (true, false) }
        state.isWaking = true
        return (true, true)
    }

    /// One lane for each entry.
    private func wake() {
        let woken = state.withLock { state in
            state.isWaking = false
            let count = min(state.idle.count, state.entries.count)
            defer { state.idle.removeLast(count) }
            return state.idle.suffix(count)
        }
        for lane in woken { lane.resume(with: .success(())) }
    }

    /// Writes until cancelled, and then what there is, as far as the database takes it.
    func run(clock: any Clock<Duration> = ContinuousClock()) async throws {
        state.withLock { $0.isRunning = true }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<Self.lanes { group.addTask { try await self.work(clock) } }
                try await group.waitForAll()
            }
        } catch {
            state.withLock { $0.isRunning = false }
            await Task { await self.flush() }.value  // although this task is cancelled
            throw error
        }
    }

    private func work(_ clock: any Clock<Duration>) async throws {
        while true {
            guard let entry = take() else {
                let waiter = Waiter<Void>()
                let hasWork = state.withLock { state in
                    if state.entries.isEmpty { state.idle.append(waiter) }
                    return !state.entries.isEmpty
                }
                if !hasWork { try await waiter.value() }
                continue
            }
            // Although this lane may be cancelled: an entry is in hand.
            let isWritten = await Task { await self.put(entry) }.value
            if !isWritten { try await clock.sleep(for: Self.pause) }
        }
    }

    /// Writes what the database takes and stops at the first that it does not.
    private func flush() async {
        while let entry = take(), await put(entry) {}
    }

    private func take() -> Entry? {
        state.withLock { state in
            guard !state.entries.isEmpty else { return nil }
            state.writing += 1
            return state.entries.removeFirst()
        }
    }

    /// `false`: the database takes nothing at present; the entry is the first again.
    private func put(_ entry: Entry) async -> Bool {
        do {
            try await write(entry)
        } catch let error as ServiceError where error.code != .serviceUnavailable {
            // It will not take this one later either.
            logger.error(
                "execution missing from the history",
                metadata: ["execution": "\(entry.record.id)", "error": "\(error)"])
        } catch {
            state.withLock { state in
                state.writing -= 1
                state.entries.insert(entry, at: 0)
            }
            return false
        }
        state.withLock { $0.writing -= 1 }
        return true
    }
}
