import EventLoop
import Fleet

/// What is still to be said to a run: stdin as far as the runner has given credit for it, its end, signals.
///
/// Credit keeps the channel to the runner from ever being full of stdin that the program does not read, so a signal
/// always gets through at once. Holds no bytes but those that callers wait in ``write(_:)`` with.
actor RunInput {
    enum Command: Sendable {
        case stdin([UInt8])
        case stdinEnd
        case signal(Int32)
    }

    private struct Chunk {
        var bytes: ArraySlice<UInt8>
        let taken: Waiter<Void>
    }

    /// The most one frame carries, so that a signal waits behind little.
    private static let frame = 32 << 10

    private var chunks: [Chunk] = []
    private var signals: [Int32] = []
    private var credit = 0
    private var end = End.open
    private var isOver = false
    private var sender: Waiter<Void>?

    private enum End { case open, asked, sent }

    /// A conversation with a runner begins, which has given no credit yet and knows of no end of stdin: the first, or
    /// another after one that was lost before the program started. `isEnded`: all of stdin goes with the request, and
    /// whoever still writes is told.
    func begin(isEnded: Bool = false) {
        credit = 0
        guard isEnded else {
            if end == .sent { end = .asked }
            return
        }
        end = .sent
        for chunk in chunks { chunk.taken.resume(with: .failure(Self.closed)) }
        chunks = []
    }

    /// Returns when the runner has room for all the bytes. Throws `execution_not_running` if stdin was ended or the
    /// run is over, `CancellationError`; what was not taken by then is not sent any more.
    func write(_ bytes: [UInt8]) async throws {
        guard !isOver, end == .open else { throw Self.closed }
        guard !bytes.isEmpty else { return }
        let chunk = Chunk(bytes: bytes[...], taken: Waiter())
        chunks.append(chunk)
        wakeSender()
        do {
            try await chunk.taken.value()
        } catch {
            chunks.removeAll { $0.taken === chunk.taken }
            wakeSender()  // the end may be next
            throw error
        }
    }

    /// Closes the program's stdin after what was written. Later writes are refused; a second call does nothing.
    func close() {
        if end == .open { end = .asked }
        wakeSender()
    }

    /// Has the run's processes signalled, ahead of any stdin.
    func signal(_ number: Int32) {
        signals.append(number)
        wakeSender()
    }

    func addCredit(_ bytes: Int) {
        credit += bytes
        wakeSender()
    }

    /// The run has ended: whoever still writes is told.
    func finish() {
        isOver = true
        for chunk in chunks { chunk.taken.resume(with: .failure(Self.closed)) }
        chunks = []
        wakeSender()
    }

    /// What to send next, when there is something to send; `nil` once the run is over. One caller.
    func next() async throws -> Command? {
        while !isOver {
            if !signals.isEmpty { return .signal(signals.removeFirst()) }
            if credit > 0, !chunks.isEmpty { return .stdin(take()) }
            if chunks.isEmpty, end == .asked {
                end = .sent
                return .stdinEnd
            }
            let waiter = Waiter<Void>()
            sender = waiter
            try await waiter.value()
        }
        return nil
    }

    private func take() -> [UInt8] {
        let count = min(credit, Self.frame, chunks[0].bytes.count)
        let bytes = Array(chunks[0].bytes.prefix(count))
        credit -= count
        chunks[0].bytes.removeFirst(count)
        if chunks[0].bytes.isEmpty { chunks.removeFirst().taken.resume(with: .success(())) }
        return bytes
    }

    private func wakeSender() {
        sender?.resume(with: .success(()))
        sender = nil
    }

    private static var closed: ServiceError {
        ServiceError(
            .executionNotRunning, "The execution takes no more input: its stdin is closed or it has ended.",
            hint: "Start another execution.")
    }
}
