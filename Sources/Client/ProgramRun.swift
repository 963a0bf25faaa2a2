import EventLoop
import Foundation
import Synchronization

/// `martlet run`: sends the program, feeds it standard input, writes what it prints as it comes, and says with which
/// code to exit.
///
/// Three tasks: one reads the stream of events and writes; one, from the moment the run has begun, reads standard
/// input and posts it; one waits for interrupts. The first interrupt asks the server to cancel and the stream goes on
/// to its `exit` event; before the run has begun it closes the stream, which is a cancel too.
///
/// Events that are printed end with exactly one `exit` or `error`: where the server sent none, with one of our own.
package struct ProgramRun: Sendable {
    package var request: RunRequest
    package var passesInput: Bool
    package var printsEvents: Bool  // the server's NDJSON as it is, instead of the program's output
    package var isQuiet: Bool  // says nothing of its own

    private let client: APIClient
    private let output = StandardOutput()
    private static let patience = Duration.milliseconds(300)  // a wait shorter than this is not worth a word

    package init(_ request: RunRequest, client: APIClient, passesInput: Bool, printsEvents: Bool, isQuiet: Bool) {
        self.request = request
        self.client = client
        self.passesInput = passesInput
        self.printsEvents = printsEvents
        self.isQuiet = isQuiet || printsEvents
        if !passesInput { self.request.stdin = "" }
    }

    /// Runs to the end. Throws ``ClientError`` if there was no run or its end is unknown.
    /// - Parameter interrupts: one element for each request of the user to end it; only the first matters here.
    /// - Returns: the exit code.
    package func run(interrupts: some AsyncSequence<Int32, Never> & Sendable) async throws -> Int32 {
        let status = StatusLine(output: isQuiet ? nil : output)
        let progress = Progress()
        let events = EventPrinter(output: output)
        do {
            return try await withThrowingTaskGroup(of: Int32?.self) { group in
                let (begun, announce) = AsyncStream<String>.makeStream(bufferingPolicy: .bufferingNewest(1))
                group.addTask {
                    try await follow(status: status, events: events) { execution in
                        progress.state.withLock { $0.execution = execution }
                        announce.yield(execution)
                    }
                }
                group.addTask {
                    guard passesInput else { return nil }
                    for await execution in begun { try await feedInput(to: execution) }
                    return nil
                }
                group.addTask {
                    for await signal in interrupts {
                        let execution = progress.state.withLock { state in
                            state.interruptedBy = signal
                            return state.execution
                        }
                        guard let execution else {
                            if printsEvents { try await events.end(.cancelledEarly) }
                            return 128 + signal
                        }
                        await status.show("cancelling, once more to leave at once")
                        try await cancel(execution)
                        return nil
                    }
                    return nil
                }
                group.addTask {
                    try await Task.sleep(for: Self.patience)  // after that, silence would worry the user
                    await status.becomeVisible()
                    return nil
                }
                defer { group.cancelAll() }
                while let code = try await group.next() {
                    guard let code else { continue }
                    await status.clear()
                    let signal = progress.state.withLock { $0.interruptedBy }
                    return code == 130 ? 128 + (signal ?? 2) : code
                }
                throw ClientError.cut(progress.state.withLock { $0.execution })
            }
        } catch {
            await status.clear()
            if error is StandardOutput.ReaderGone { return 128 + SIGPIPE }  // leaving the stream has cancelled the run
            if printsEvents, let error = error as? ClientError { try await events.end(error) }
            throw error
        }
    }

    /// What the three tasks know of each other.
    private final class Progress: Sendable {
        struct State {
            var execution: String?
            var interruptedBy: Int32?
        }
        let state = Mutex(State())
    }

    /// Reads events until the one that ends the stream. Returns the exit code.
    private func follow(status: StatusLine, events: EventPrinter, begun: (String) -> Void) async throws -> Int32? {
        var code: Int32?
        var execution: String?
        do {
            try await read(status: status, events: events, code: &code, execution: &execution, begun: begun)
        } catch let error as ClientError where execution != nil && error.isLoss {
            throw ClientError.cut(execution)
        }
        guard let code else { throw ClientError.cut(execution) }
        return code
    }

    private func read(
        status: StatusLine, events: EventPrinter, code: inout Int32?, execution: inout String?, begun: (String) -> Void
    ) async throws {
        try await client.lines("POST", "/v1/execute", accept: "application/x-ndjson", json: request) { line in
            let event = try RunEvent(line: line)
            if case .started(let id) = event {  // before it is told: whoever reads that may end it at once
                execution = id
                begun(id)
            }
            if printsEvents { try await events.print(line, isEnd: event.isEnd) }
            switch event {
            case .status(_, let message):
                await status.show(message)
            case .started: await status.finish()
            case .output(let toError, let bytes):
                if !printsEvents { try await output.write(bytes, to: toError ? .error : .output) }
            case .exit(let exit):
                code = exit.status
                if let remark = exit.remark, !isQuiet {
                    try await output.write(Array("martlet: \(remark)\n".utf8), to: .error)
                }
                return false
            case .error(let errorCode, let message, let hint):
                throw ClientError(.failed, code: errorCode, message: message, hint: hint)
            case .keepalive, .unknown:
                break
            }
            return true
        }
    }

    /// Posts standard input until its end. That the run ended meanwhile is no failure: programs need not read it all.
    private func feedInput(to execution: String) async throws {
        let input = StandardInput()
        let path = "/v1/executions/\(execution)/stdin"
        do {
            while let bytes = try await input.read() { try await client.post(path, bytes: bytes) }
            try await client.post("\(path)?end=1", bytes: [])
        } catch let error as ClientError where error.meansEnded {
            return
        }
    }

    private func cancel(_ execution: String) async throws {
        do {
            try await client.call("DELETE", "/v1/executions/\(execution)", timeout: .seconds(10))
        } catch let error as ClientError where error.meansEnded {
            return
        }
    }
}

extension ClientError {
    fileprivate static let cancelledEarly = ClientError(
        .failed, code: "cancelled", message: "Cancelled before the program began.", hint: "")

    /// The connection went, not the request.
    fileprivate var isLoss: Bool { code.hasPrefix("http_") }

    /// Said of an execution that was there a moment ago.
    fileprivate var meansEnded: Bool { code == "execution_not_running" || code == "execution_not_found" }
}

/// Prints events a line each, the end of the stream once, and nothing behind it: whoever comes first has the last word.
private actor EventPrinter {
    private let output: StandardOutput
    private var isEnded = false

    init(output: StandardOutput) { self.output = output }

    func print(_ line: [UInt8], isEnd: Bool) async throws {
        guard !isEnded else { return }
        isEnded = isEnd
        try await output.write(line + [UInt8(ascii: "\n")], to: .output)
    }

    func end(_ error: ClientError) async throws { try await print(error.eventLine, isEnd: true) }
}

/// What is going on before the program's own first word, on standard error: after ``becomeVisible()`` at once, until
/// then kept back, for a warm call has nothing to tell. On a terminal one line that is replaced, elsewhere a line each.
private actor StatusLine {
    private let output: StandardOutput?  // nil: say nothing
    private let isTerminal = isatty(2) == 1
    private var message: String?
    private var isVisible = false
    private var isFinished = false
    private var isDrawn = false

    init(output: StandardOutput?) { self.output = output }

    func show(_ message: String) async {
        guard !isFinished else { return }
        self.message = message
        if isVisible { await draw() }
    }

    func becomeVisible() async {
        isVisible = true
        if !isFinished { await draw() }
    }

    /// The program has the word now.
    func finish() async {
        isFinished = true
        await clear()
    }

    func clear() async {
        guard isDrawn, isTerminal else { return }
        isDrawn = false
        try? await output?.write(Array("\r\u{1B}[K".utf8), to: .error)
    }

    private func draw() async {
        guard let message else { return }
        self.message = isTerminal ? message : nil
        isDrawn = true
        let line = isTerminal ? "\r\u{1B}[K\u{1B}[2m\(message)\u{1B}[0m" : "martlet: \(message)\n"
        try? await output?.write(Array(line.utf8), to: .error)
    }
}
