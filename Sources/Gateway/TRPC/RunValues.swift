import Execution
import Fleet
import Glibc
import NIOCore
import Synchronization

/// Makes values of what a program prints. JSON holds text: bytes that are not UTF-8 are shown as U+FFFD.
struct OutputWriter {
    private(set) var position: RunPosition
    private var stdout = TextJoiner()
    private var stderr = TextJoiner()

    init(at position: RunPosition) { self.position = position }

    /// `nil` when all there is has to be held back.
    mutating func write(_ bytes: [UInt8], of stream: ExecutionEvent.Stream) -> StreamedValue? {
        switch stream {
        case .stdout: stdout.append(bytes).map { value($0, of: stream) }
        case .stderr: stderr.append(bytes).map { value($0, of: stream) }
        }
    }

    /// Characters the program never finished.
    mutating func flush() -> [StreamedValue] {
        let rest = (stdout.flush(), stderr.flush())
        return [rest.0.map { value($0, of: .stdout) }, rest.1.map { value($0, of: .stderr) }].compactMap { $0 }
    }

    private mutating func value(_ piece: TextJoiner.Piece, of stream: ExecutionEvent.Stream) -> StreamedValue {
        position.values += 1
        switch stream {
        case .stdout: position.stdoutBytes += piece.bytes.count
        case .stderr: position.stderrBytes += piece.bytes.count
        }
        var json = ByteBuffer(string: "{\"type\":\"\(stream.rawValue)\",\"data\":\"")
        json.writeText(piece)
        json.writeStaticString("\"}")
        return StreamedValue(json: json, position: position.description)
    }
}

extension StreamedValue {
    /// `{"type":"exit","code":…}` and how it came to that.
    static func exit(_ report: ExitReport, after position: RunPosition) -> StreamedValue {
        let report = report.withExitCode
        var json = ByteBuffer(string: "{\"type\":\"exit\",\"code\":\(report.exitCode ?? 0),")
        json.writeFields(of: report)
        json.writeStaticString("}")
        return StreamedValue(json: json, position: position.end.description)
    }

    /// `{"type":"error","message":…}`. `position` is `nil` where there was no run.
    static func error(_ error: ServiceError, after position: RunPosition?) -> StreamedValue {
        var json = ByteBuffer(string: "{\"type\":\"error\",\"message\":")
        json.writeJSONString(error.message)
        json.writeString(",\"serviceCode\":\"\(error.code.rawValue)\",\"hint\":")
        json.writeJSONString(error.hint)
        json.writeStaticString("}")
        return StreamedValue(json: json, position: position?.end.description ?? RunPosition.nowhere)
    }

    /// How a run ended by what the history says; `missing` bytes of its output are not there.
    static func ending(of run: ExecutionView, missing: Int, after position: RunPosition) -> StreamedValue {
        let report = ExitReport.Reason(rawValue: run.state).map { reason in
            ExitReport(
                exitCode: run.exitCode, signal: run.signal, reason: reason, stage: .run,
                durationMs: run.durationMs ?? 0, cpuMs: run.cpuMs, maxRssBytes: run.maxRssBytes,
                truncated: run.truncated ?? false)
        }
        if missing == 0, let report, report.reason != .cancelled, report.fault == nil {
            return .exit(report, after: position)
        }
        var message: String
        switch report?.reason {
        case nil: message = (run.errorMessage ?? "The run was lost").trimming(".")
        case .cancelled: message = "The run was cancelled while its reader was away, or because it went away"
        case let reason?: message = "The run ended while its reader was away (\(reason.rawValue))"
        }
        if let code = run.exitCode { message += " with exit code \(code)" }
        if missing > 0 { message += "; \(missing) bytes of its output were not kept" }
        return .error(
            ServiceError(
                .executionLost, message + ". It was not run again.",
                hint: "Leaving a subscription stops its run. See GET /v1/executions/\(run.id)."), after: position)
    }
}

/// A run whose output is kept until it has ended, within the budget of all such runs.
struct BufferedRun {
    private let id: ExecutionID
    private let share: BudgetShare
    private var joiners: (stdout: TextJoiner, stderr: TextJoiner) = (TextJoiner(), TextJoiner())
    private var stdout = ByteBuffer()
    private var stderr = ByteBuffer()

    init(id: ExecutionID, budget: BufferBudget) {
        self.id = id
        share = BudgetShare(of: budget)
    }

    /// The result, once the run has ended. Throws what ended it otherwise.
    mutating func add(_ event: ExecutionEvent) throws -> Outcome? {
        switch event {
        case .status, .started, .keepalive: return nil
        case .output(.stdout, let bytes): try keep(joiners.stdout.append(bytes), in: \.stdout)
        case .output(.stderr, let bytes): try keep(joiners.stderr.append(bytes), in: \.stderr)
        case .error(let error): throw error
        case .exit(let report):
            if let fault = report.fault { throw fault }
            try keep(joiners.stdout.flush(), in: \.stdout)
            try keep(joiners.stderr.flush(), in: \.stderr)
            var end = ByteBuffer(string: "\",\"executionId\":\"\(id)\",")
            end.writeFields(of: report.withExitCode)
            end.writeStaticString("}")
            return Outcome(
                pieces: [
                    ByteBuffer(string: "{\"stdout\":\""), stdout, ByteBuffer(string: "\",\"stderr\":\""), stderr, end,
                ], share: share)
        }
        return nil
    }

    /// As it is sent, so that what is counted is what is held.
    private mutating func keep(
        _ piece: TextJoiner.Piece?, in text: WritableKeyPath<BufferedRun, ByteBuffer>
    ) throws(ServiceError) {
        guard let piece else { return }
        let before = self[keyPath: text].readableBytes
        self[keyPath: text].writeText(piece)
        try share.take(self[keyPath: text].readableBytes - before)
    }

    /// What the first implementation answered where a VM's state lets nothing run. The exit code is its word for "did
    /// not work" and nobody's exit; `reason` says so.
    static func notRun(because error: ServiceError) -> Outcome {
        var json = ByteBuffer(string: "{\"stdout\":\"\",\"stderr\":")
        json.writeJSONString("\(error.message) \(error.hint)\n")
        json.writeStaticString(
            ",\"executionId\":null,\"exitCode\":1,\"signal\":null,\"reason\":\"not_run\",\"stage\":null,")
        json.writeStaticString("\"durationMs\":null,\"cpuMs\":null,\"maxRssBytes\":null,\"truncated\":false}")
        return Outcome(pieces: [json])
    }
}

/// What one answer takes of a budget; given back when nobody holds the answer any more.
final class BudgetShare: Sendable {
    private let budget: BufferBudget
    private let taken = Atomic(0)

    init(of budget: BufferBudget) { self.budget = budget }

    deinit { budget.giveBack(taken.load(ordering: .relaxed)) }

    /// Throws `service_unavailable` when no more can be held.
    func take(_ count: Int) throws(ServiceError) {
        try budget.take(count)
        taken.add(count, ordering: .relaxed)
    }
}

extension ExitReport {
    /// What tRPC's clients are to take for an error although the program ran: it did not run to its end.
    var fault: TRPCFault? {
        switch reason {
        case .exited, .signaled, .memory, .processes, .cancelled: return nil
        case .timeout:
            return TRPCFault(
                ServiceError(
                    .limitExceeded, "The program ran too long and was stopped after \(Int(durationMs)) ms.",
                    hint: "Make it faster, or ask for a longer 'timeoutMs'."), as: .timeout)
        case .outputLimit:
            return TRPCFault(
                ServiceError(
                    .limitExceeded, "The program printed more than it may and was stopped.",
                    hint: "Print less, or ask for larger 'limits.outputBytes'."), as: .payloadTooLarge)
        }
    }

    /// With an exit code in any case, for clients that have no word for a signal: 128 and its number, as shells have
    /// it. ``signal`` and ``reason`` still say what happened.
    var withExitCode: ExitReport {
        var report = self
        report.exitCode = exitCode ?? 128 + Int(signal.flatMap { Self.signals[$0] } ?? SIGKILL)
        return report
    }

    /// signal(7).
    private static let signals: [String: Int32] = [
        "SIGHUP": SIGHUP, "SIGINT": SIGINT, "SIGQUIT": SIGQUIT, "SIGILL": SIGILL, "SIGTRAP": SIGTRAP,
        "SIGABRT": SIGABRT, "SIGBUS": SIGBUS, "SIGFPE": SIGFPE, "SIGKILL": SIGKILL, "SIGUSR1": SIGUSR1,
        "SIGSEGV": SIGSEGV, "SIGUSR2": SIGUSR2, "SIGPIPE": SIGPIPE, "SIGALRM": SIGALRM, "SIGTERM": SIGTERM,
        "SIGXCPU": SIGXCPU, "SIGXFSZ": SIGXFSZ, "SIGSYS": SIGSYS,
    ]
}

extension String {
    fileprivate func trimming(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}

extension TextJoiner.Piece {
    fileprivate var bytes: ArraySlice<UInt8> {
        switch self {
        case .text(let bytes), .bytes(let bytes): bytes
        }
    }
}

extension ByteBuffer {
    /// What stands between the quotes of a JSON string.
    fileprivate mutating func writeText(_ piece: TextJoiner.Piece) {
        switch piece {
        case .text(let text): text.withUnsafeBytes { writeEscaped($0) }
        case .bytes(let bytes): Array(String(decoding: bytes, as: UTF8.self).utf8).withUnsafeBytes { writeEscaped($0) }
        }
    }
}
