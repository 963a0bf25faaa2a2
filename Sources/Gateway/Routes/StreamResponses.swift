import Execution
import Fleet
import HTTPTypes
import NIOCore
import Synchronization

/// An execution as its events, one after another. The head goes out before the first.
enum EventResponse {
    static func answer(
        _ exchange: Exchange, _ id: ExecutionID, _ events: ExecutionEvents, as framing: EventEncoder.Framing
    ) async throws {
        let type: StreamEncoding = framing == .sse ? .sse : .ndjson
        let stream = try await exchange.stream(headers: [
            .contentType: type.rawValue + (framing == .sse ? "; charset=utf-8" : ""), .cacheControl: "no-store",
            .accelBuffering: "no", .executionID: id.description,
        ])
        var encoder = EventEncoder(framing)
        var buffer = ByteBuffer()
        do {
            // What is ready together shares a write; what comes alone is written at once.
            while let batch = try await events.nextBatch() {
                buffer.clear(minimumCapacity: 1_024)
                for event in batch { encoder.encode(event, into: &buffer) }
                if events.isAtEnd { return try await stream.finish(buffer) }
                try await stream.write(buffer)
            }
            try await stream.finish()
        } catch is CancellationError where exchange.isCutShort {
            buffer.clear()
            encoder.encode(.error(.cutShort), into: &buffer)
            await stream.finishRegardless(buffer)
            throw CancellationError()
        }
    }
}

/// An execution as what it prints, stdout and stderr as they come; the exit code follows in a trailer.
///
/// The head waits for the program to start, so that a run which never happens is answered with its error's status.
enum PlainResponse {
    static func answer(_ exchange: Exchange, _ id: ExecutionID, _ events: ExecutionEvents) async throws {
        let headers: HTTPFields = [
            .contentType: "text/plain; charset=utf-8", .cacheControl: "no-store", .accelBuffering: "no",
            .trailer: "Martlet-Exit-Code, Martlet-Exit-Reason, Martlet-Error-Code",
            .contentTypeOptions: "nosniff", .executionID: id.description,
        ]
        var stream: ResponseStream?
        var trailers: HTTPFields = [:]
        do {
            while let batch = try await events.nextBatch() {
                var buffer = ByteBuffer()
                for event in batch {
                    switch event {
                    case .status, .keepalive: continue
                    case .started: break
                    case .output(_, let bytes): buffer.writeBytes(bytes)
                    case .exit(let report):
                        trailers[.exitCode] = report.exitCode.map(String.init)
                        trailers[.exitReason] = report.reason.rawValue
                    case .error(let error):
                        guard stream != nil else { throw error }
                        trailers[.errorCode] = error.code.rawValue
                    }
                    if stream == nil { stream = try await exchange.stream(headers: headers) }
                }
                try await stream?.write(buffer)
            }
            guard let stream else { throw ServiceError.ended }
            try await stream.finish(trailers: trailers)
        } catch is CancellationError where exchange.isCutShort {
            guard let stream else { throw ServiceError.cutShort }
            await stream.finishRegardless(ByteBuffer(), trailers: [.errorCode: ServiceError.cutShort.code.rawValue])
            throw CancellationError()
        }
    }
}

/// An execution as one JSON document when it has ended.
enum BufferedResponse {
    static func answer(
        _ exchange: Exchange, _ id: ExecutionID, _ events: ExecutionEvents, within budget: BufferBudget
    ) async throws {
        var stdout: [UInt8] = []
        var stderr: [UInt8] = []
        var network = RunNetwork()
        defer { budget.giveBack(stdout.count + stderr.count) }
        while let batch = try await events.nextBatch() {
            for event in batch {
                switch event {
                case .status, .keepalive: continue
                case .started(_, let its): network = its
                case .output(let stream, let bytes):
                    try budget.take(bytes.count)
                    if stream == .stdout { stdout += bytes } else { stderr += bytes }
                case .error(let error): throw error
                case .exit(let report):
                    let stream = try await exchange.stream(headers: [
                        .contentType: StreamEncoding.json.rawValue, .cacheControl: "no-store",
                        .executionID: id.description,
                    ])
                    try await write(id, network, stdout, stderr, report, to: stream)
                    return
                }
            }
        }
        throw ServiceError.ended
    }

    /// Piece by piece: the document can be six times as long as what it holds.
    private static func write(
        _ id: ExecutionID, _ network: RunNetwork, _ stdout: [UInt8], _ stderr: [UInt8], _ report: ExitReport,
        to stream: ResponseStream
    ) async throws {
        var buffer = ByteBuffer()
        buffer.writeStaticString("{\"executionId\":")
        buffer.writeJSONString(id.description)
        try await write(stdout, as: "stdout", to: stream, &buffer)
        try await write(stderr, as: "stderr", to: stream, &buffer)
        buffer.writeInteger(UInt8(ascii: ","))
        buffer.writeFields(of: network)
        buffer.writeInteger(UInt8(ascii: ","))
        buffer.writeFields(of: report)
        buffer.writeStaticString("}\n")
        try await stream.finish(buffer)
    }

    private static func write(
        _ output: [UInt8], as name: String, to stream: ResponseStream, _ buffer: inout ByteBuffer
    ) async throws {
        let isText = TextJoiner.isUTF8(output[...])
        if !isText { buffer.writeString(",\"\(name)Encoding\":\"base64\"") }
        buffer.writeString(",\"\(name)\":\"")
        var rest = output[...]
        while !rest.isEmpty {
            // A multiple of three, so that no base64 padding falls between pieces.
            var end = min(rest.startIndex + 49_152, rest.endIndex)
            // Not inside a character: it may be one that is escaped.
            while isText, end < rest.endIndex, output[end] & 0xC0 == 0x80 { end += 1 }
            let piece = rest[..<end]
            rest = rest[end...]
            piece.withUnsafeBytes { isText ? buffer.writeEscaped($0) : buffer.writeBase64($0) }
            guard buffer.readableBytes >= 49_152 else { continue }
            try await stream.write(buffer)
            buffer.clear()
        }
        buffer.writeInteger(UInt8(ascii: "\""))
    }
}

/// Bounds what all buffered answers of a gateway hold together.
final class BufferBudget: Sendable {
    private let left: Mutex<Int>

    init(bytes: Int) { left = Mutex(bytes) }

    /// Throws `service_unavailable` when no more can be held.
    func take(_ count: Int) throws(ServiceError) {
        let isThere = left.withLock { left in
            guard left >= count else { return false }
            left -= count
            return true
        }
        guard isThere else {
            throw ServiceError(
                .serviceUnavailable, "Too much output waits here to be sent as JSON documents; the run was stopped.",
                hint: "Ask for a stream: 'Accept: \(StreamEncoding.ndjson.rawValue)'.")
        }
    }

    func giveBack(_ count: Int) { left.withLock { $0 += count } }
}

extension ServiceError {
    /// What a run is told that outlasts the gateway.
    static let cutShort = ServiceError(
        .shuttingDown, "The gateway shut down while the program ran; it was stopped.",
        hint: "Run it again; what it had changed in its VM's home is still there.")

    /// The events ended without saying how the run did.
    static let ended = ServiceError(
        .executionLost, "The run was lost before it said how it ended.", hint: "Run it again.")
}

extension HTTPField.Name {
    static let accelBuffering = HTTPField.Name("X-Accel-Buffering")!  // nginx: do not hold a stream back
    static let executionID = HTTPField.Name("Martlet-Execution-Id")!
    static let contentTypeOptions = HTTPField.Name("X-Content-Type-Options")!
}
