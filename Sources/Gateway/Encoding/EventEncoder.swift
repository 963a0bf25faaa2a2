import Execution
import Fleet
import NIOCore

/// Puts the events of one execution into words, as NDJSON lines or as server-sent events.
///
/// Both carry the same JSON object, its field `event` first. Output that is printed is only ever inside a JSON
/// string, where neither a line end nor a quote of its own can be mistaken for ours.
struct EventEncoder {
    enum Framing { case ndjson, sse }

    let framing: Framing
    private var sequence = 0
    private var stdout = TextJoiner()
    private var stderr = TextJoiner()

    init(_ framing: Framing) { self.framing = framing }

    mutating func encode(_ event: ExecutionEvent, into buffer: inout ByteBuffer) {
        switch event {
        case .status(let state, let message):
            frame("status", into: &buffer) {
                $0.writeStaticString(",\"state\":")
                $0.writeJSONString(state.rawValue)
                $0.writeStaticString(",\"message\":")
                $0.writeJSONString(message)
            }
        case .started(let id, let network):
            frame("started", into: &buffer) {
                $0.writeStaticString(",\"executionId\":")
                $0.writeJSONString(id.description)
                $0.writeInteger(UInt8(ascii: ","))
                $0.writeFields(of: network)
            }
        case .output(.stdout, let bytes):
            if let piece = stdout.append(bytes) { encode(piece, of: .stdout, into: &buffer) }
        case .output(.stderr, let bytes):
            if let piece = stderr.append(bytes) { encode(piece, of: .stderr, into: &buffer) }
        case .keepalive:
            frame("keepalive", into: &buffer) { _ in }
        case .exit(let report):
            flush(into: &buffer)
            frame("exit", into: &buffer) {
                $0.writeInteger(UInt8(ascii: ","))
                $0.writeFields(of: report)
            }
        case .error(let error):
            flush(into: &buffer)
            frame("error", into: &buffer) {
                $0.writeInteger(UInt8(ascii: ","))
                $0.writeFields(of: error)
            }
        }
    }

    /// Characters the program never finished are still its output.
    private mutating func flush(into buffer: inout ByteBuffer) {
        if let piece = stdout.flush() { encode(piece, of: .stdout, into: &buffer) }
        if let piece = stderr.flush() { encode(piece, of: .stderr, into: &buffer) }
    }

    private mutating func encode(
        _ piece: TextJoiner.Piece, of stream: ExecutionEvent.Stream, into buffer: inout ByteBuffer
    ) {
        sequence += 1
        frame(stream.rawValue, id: sequence, into: &buffer) {
            $0.writeStaticString(",\"seq\":")
            $0.writeString(String(sequence))
            $0.writeStaticString(",\"data\":")
            switch piece {
            case .text(let text): $0.writeJSONString(utf8: text)
            case .bytes(let bytes):
                $0.writeJSONBase64(bytes)
                $0.writeStaticString(",\"encoding\":\"base64\"")
            }
        }
    }

    private func frame(
        _ name: String, id: Int? = nil, into buffer: inout ByteBuffer, _ writeFields: (inout ByteBuffer) -> Void
    ) {
        if framing == .sse {
            buffer.writeString("event: \(name)\n")
            if let id { buffer.writeString("id: \(id)\n") }
            buffer.writeStaticString("data: ")
        }
        buffer.writeString("{\"event\":\"\(name)\"")
        writeFields(&buffer)
        buffer.writeStaticString(framing == .sse ? "}\n\n" : "}\n")
    }
}

extension ByteBuffer {
    /// `"exitCode":0,"signal":null,…` without braces.
    mutating func writeFields(of report: ExitReport) {
        writeString("\"exitCode\":\(report.exitCode.map(String.init) ?? "null"),\"signal\":")
        if let signal = report.signal { writeJSONString(signal) } else { writeStaticString("null") }
        writeString(",\"reason\":\"\(report.reason.rawValue)\",\"stage\":\"\(report.stage.rawValue)\",\"durationMs\":")
        writeJSONNumber(report.durationMs)
        writeStaticString(",\"cpuMs\":")
        if let cpuMs = report.cpuMs { writeJSONNumber(cpuMs) } else { writeStaticString("null") }
        writeString(
            ",\"maxRssBytes\":\(report.maxRssBytes.map(String.init) ?? "null"),\"truncated\":\(report.truncated)")
    }

    /// `"network":"none","networkNotice":…` without braces; the notice only where there is one.
    mutating func writeFields(of network: RunNetwork) {
        writeString("\"network\":\"\(network.policy.rawValue)\"")
        guard let notice = network.notice else { return }
        writeStaticString(",\"networkNotice\":")
        writeJSONString(notice)
    }

    /// `"code":…,"message":…,"hint":…` without braces; never the cause.
    mutating func writeFields(of error: ServiceError) {
        writeString("\"code\":\"\(error.code.rawValue)\",\"message\":")
        writeJSONString(error.message)
        writeStaticString(",\"hint\":")
        writeJSONString(error.hint)
    }
}
