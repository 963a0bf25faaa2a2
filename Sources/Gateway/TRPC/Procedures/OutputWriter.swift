import Execution
import Fleet
import NIOCore

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
        let report = run.report
        if missing == 0, let report, report.reason != .cancelled {
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
    mutating func writeText(_ piece: TextJoiner.Piece) {
        switch piece {
        case .text(let text): text.withUnsafeBytes { writeEscaped($0) }
        case .bytes(let bytes): Array(String(decoding: bytes, as: UTF8.self).utf8).withUnsafeBytes { writeEscaped($0) }
        }
    }
}
