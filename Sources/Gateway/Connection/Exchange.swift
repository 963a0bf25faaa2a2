import EventLoop
import Fleet
import HTTPTypes
import Logging
import NIOCore
import NIOHTTPTypes
import Synchronization

/// One request and the means to answer it, once: whole with ``respond(_:headers:body:)`` or bit by bit with
/// ``stream(headers:)``.
final class Exchange: Sendable {
    private enum Phase {
        case waiting
        case responding(HTTPResponse.Status)
        case ended(HTTPResponse.Status)
    }

    let head: HTTPRequest
    let target: RequestTarget
    let id: String  // of the request, for whoever looks for it in the log
    let logger: Logger
    fileprivate let parts: RequestParts
    fileprivate let connection: Connection
    private let phase = Mutex(Phase.waiting)
    private let admission = Mutex<(Admission, Tier)?>(nil)

    /// Bytes of an unread body that are read and dropped to keep the connection.
    static let skippableBody = 65_536

    init(head: HTTPRequest, parts: RequestParts, connection: Connection, logger: Logger) {
        self.head = head
        self.parts = parts
        self.connection = connection
        target = RequestTarget(head.path ?? "/")
        id = RequestTarget.requestID(from: head.headerFields[.requestID])
        var logger = logger
        logger[metadataKey: "request"] = "\(id)"
        self.logger = logger
    }

    /// The status that was answered; `nil` while none was.
    var status: HTTPResponse.Status? {
        phase.withLock {
            switch $0 {
            case .waiting: nil
            case .responding(let status), .ended(let status): status
            }
        }
    }

    /// Whether the answer is whole.
    var isAnswered: Bool {
        phase.withLock {
            if case .ended = $0 { true } else { false }
        }
    }

    // MARK: The request

    /// The length the client says its body has; `nil` if it does not say or there is none.
    var declaredLength: Int? { head.headerFields[.contentLength].flatMap { Int($0) } }

    private var hasBody: Bool { head.headerFields[.transferEncoding] != nil || (declaredLength ?? 0) > 0 }

    /// The next bytes of the body, or `nil` at its end.
    func bodyBytes() async throws -> ByteBuffer? { try await parts.body() }

    /// As ``bodyBytes()``, but throws `request_timeout` when the client sends none for so long.
    func bodyBytes(within timeout: Duration) async throws -> ByteBuffer? {
        try await inTime(timeout, "more of the request's body") { [self] in try await bodyBytes() }
    }

    /// Where the client is, as its connection says.
    var remoteAddress: SocketAddress? { connection.channel.remoteAddress }

    /// The whole body, which is JSON or is not called anything else. Throws `unsupported_media_type`, and what
    /// ``wholeBody(upTo:within:)`` throws.
    func jsonBody(upTo limit: Int, within timeout: Duration) async throws -> [UInt8] {
        if let type = head.headerFields[.contentType]?.split(separator: ";").first.map({
            $0.filter { $0 != " " }.lowercased()
        }) {
            // And what `curl -d` says of everything it sends.
            let isJSON = type == "application/json" || (type.hasPrefix("application/") && type.hasSuffix("+json"))
            guard isJSON || type == "application/x-www-form-urlencoded" else {
                throw ServiceError(
                    .unsupportedMediaType, "The body is called '\(type.prefix(64))'; JSON is taken.",
                    hint: "Send 'Content-Type: application/json'.")
            }
        }
        return try await wholeBody(upTo: limit, within: timeout)
    }

    // MARK: Its rate

    /// Whoever handles the exchange from now on has to call ``admitted()`` before it does anything.
    func expectAdmission(for tier: Tier) -> Admission {
        let admission = Admission()
        self.admission.withLock { $0 = (admission, tier) }
        return admission
    }

    /// Returns when the request is known to be within its token's rate; at once if there is none. Reading the body
    /// whole includes it. Throws ``RateExceeded``.
    func admitted() async throws {
        guard let (admission, tier) = admission.withLock({ $0 }) else { return }
        try await admission.wait(tier: tier)
    }

    /// The whole body. Throws `body_too_large` or `request_timeout`, and ``RateExceeded``.
    func wholeBody(upTo limit: Int, within timeout: Duration) async throws -> [UInt8] {
        @Sendable func tooLarge(_ size: String) -> ServiceError {
            ServiceError(
                .bodyTooLarge, "The body takes \(size) bytes; at most \(limit) are taken.",
                hint: "Send large data on stdin: POST /v1/executions/{id}/stdin.")
        }
        // Refused before a byte of it is asked for; NIO hands on no more bytes than were declared.
        if let length = declaredLength, length > limit { throw tooLarge("\(length)") }
        guard hasBody else {
            try await admitted()
            return []
        }
        let bytes = try await inTime(timeout, "the end of the request's body") { [self] in
            var bytes: [UInt8] = []
            bytes.reserveCapacity(declaredLength ?? 0)
            while let buffer = try await bodyBytes() {
                guard bytes.count + buffer.readableBytes <= limit else { throw tooLarge("over \(limit)") }
                bytes.append(contentsOf: buffer.readableBytesView)
            }
            return bytes
        }
        try await admitted()
        return bytes
    }

    private func inTime<Value: Sendable>(
        _ timeout: Duration, _ awaited: String, _ read: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        do {
            return try await withDeadline(timeout, awaited, read)
        } catch let error as DeadlineExceeded {
            throw ServiceError(
                .requestTimeout,
                "\(awaited.prefix(1).uppercased())\(awaited.dropFirst()) did not come within \(timeout).",
                hint: "Send it faster, or send less.", cause: error)
        }
    }

    // MARK: The response

    /// Answers with all there is to say.
    func respond(
        _ status: HTTPResponse.Status, headers: HTTPFields = [:], body: ByteBuffer = ByteBuffer()
    ) async throws {
        try await respond(status, headers: headers, pieces: [body])
    }

    /// Answers with all there is to say, which lies in several buffers.
    func respond(_ status: HTTPResponse.Status, headers: HTTPFields = [:], pieces: [ByteBuffer]) async throws {
        var headers = headers
        if status != .noContent {
            headers[.contentLength] = String(pieces.reduce(0) { $0 + $1.readableBytes })
        }
        begin(status, headers)
        if head.method != .head {
            for piece in pieces where piece.readableBytes > 0 {
                connection.channel.write(HTTPResponsePart.body(piece), promise: nil)
            }
        }
        try await end(nil)
    }

    /// Answers a `HEAD`, or what has no body; a length is that of the body which is not there.
    func respondWithoutBody(_ status: HTTPResponse.Status, headers: HTTPFields) async throws {
        begin(status, headers)
        try await end(nil)
    }

    /// Sends the head of an answer at once and returns what writes its body.
    func stream(_ status: HTTPResponse.Status = .ok, headers: HTTPFields) async throws -> ResponseStream {
        begin(status, headers)
        connection.channel.flush()
        return ResponseStream(exchange: self)
    }

    /// Answers 101. From then on bytes go both ways as they are, until ``Tunnel/finish()`` or ``Tunnel/cut()``.
    func tunnel(headers: HTTPFields) async throws -> Tunnel {
        begin(.switchingProtocols, headers)
        connection.channel.flush()
        return Tunnel(exchange: self)
    }

    private func begin(_ status: HTTPResponse.Status, _ headers: HTTPFields) {
        let isFirst = phase.withLock { phase in
            guard case .waiting = phase else { return false }
            phase = .responding(status)
            return true
        }
        precondition(isFirst, "an exchange is answered once")
        var headers = headers
        headers[.requestID] = id
        headers[.date] = DateHeader.now()
        headers[.server] = "martlet"
        if let rate = admission.withLock({ $0?.0.seen }) {
            headers[.rateLimit] = String(rate.limit)
            headers[.rateLimitRemaining] = String(rate.remaining)
            headers[.rateLimitReset] = String(rate.resetSeconds)
        }
        // A body that is still coming would have to be read to find the next request; a large one is not worth it.
        if !parts.isAtEnd, hasBody, parts.isBodyInDoubt || declaredLength ?? .max > Self.skippableBody {
            headers[.connection] = "close"
        }
        connection.channel.write(
            HTTPResponsePart.head(HTTPResponse(status: status, headerFields: headers)), promise: nil)
    }

    fileprivate func write(_ bytes: ByteBuffer) async throws {
        try await connection.flushed(.body(bytes))
    }

    /// In one write with the last bytes.
    fileprivate func end(_ trailers: HTTPFields?, after bytes: ByteBuffer = ByteBuffer()) async throws {
        if bytes.readableBytes > 0 { connection.channel.write(HTTPResponsePart.body(bytes), promise: nil) }
        try await connection.flushed(.end(trailers))
        phase.withLock { phase in
            if case .responding(let status) = phase { phase = .ended(status) }
        }
    }

    // MARK: The client

    /// Runs `operation`, cancelling it as soon as the client has left (``ClientLeft``) or the gateway cuts short
    /// what is still running (`shutting_down`). Throws only once `operation` has ended.
    func whileClientListens(_ operation: @escaping @Sendable () async throws -> Void) async throws {
        try await run(operation, until: connection.clientLeft)
    }

    /// As ``whileClientListens(_:)``, for an operation that reads the body. The client may close its sending side after
    /// it and still wait for the answer, so only the end of the connection counts.
    func whileClientSends(_ operation: @escaping @Sendable () async throws -> Void) async throws {
        try await run(operation, until: connection.closed)
    }

    private func run(_ operation: @escaping @Sendable () async throws -> Void, until gone: Latch) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await operation() }
            group.addTask { [connection] in
                try await Latch.wait(forOneOf: [gone, connection.cutsShort])
                if gone.isOpen { throw ClientLeft() }
                throw ServiceError.shuttingDown
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Whether running requests are being cut short.
    var isCutShort: Bool { connection.cutsShort.isOpen }
}

/// The body of an answer as it is written. Each write returns when the kernel has taken all of it: no more than one
/// is ever under way, and a client that does not read holds up whoever produces.
struct ResponseStream {
    fileprivate let exchange: Exchange

    func write(_ bytes: ByteBuffer) async throws {
        if bytes.readableBytes > 0 { try await exchange.write(bytes) }
    }

    /// What shows life while there is nothing to say. To cancel a write is to close the connection; whoever shows life is
    /// cancelled when there is something to say again, and this one is then written all the same.
    func writeSignOfLife(_ bytes: ByteBuffer) async throws {
        try Task.checkCancellation()
        try await Task { try await write(bytes) }.value
    }

    /// The last bytes and the end of the body. `trailers` do not reach a client that speaks HTTP/1.0.
    func finish(_ bytes: ByteBuffer = ByteBuffer(), trailers: HTTPFields? = nil) async throws {
        try await exchange.end(trailers, after: bytes)
    }

    /// Like ``finish(_:trailers:)``, but also from a task that was cancelled, and without a word if it fails.
    func finishRegardless(_ bytes: ByteBuffer, trailers: HTTPFields? = nil) async {
        await Task { try? await finish(bytes, trailers: trailers) }.value
    }
}

/// A connection that has left HTTP behind.
struct Tunnel: Sendable {
    fileprivate let exchange: Exchange

    /// The next bytes; `nil` once the client has closed its sending side, or the connection is gone. To be called by one
    /// task at a time. What is not read stays in the socket, and so holds up whoever sends it.
    func read() async throws -> ByteBuffer? {
        do {
            return try await exchange.parts.raw()
        } catch let error where !(error is CancellationError) {
            return nil
        }
    }

    /// Returns when the kernel has all of it; not before, whoever is cancelled: bytes cannot be taken back. What may
    /// hang must be ended by ``cut()``.
    func write(_ bytes: ByteBuffer) async throws {
        try await exchange.connection.channel.writeAndFlush(HTTPResponsePart.body(bytes)).get()
    }

    /// Says that nothing more is written, and lets the client close.
    func finish() async { try? await exchange.end(nil) }

    /// Ends the connection at once, and with it whatever waits for it.
    func cut() { exchange.connection.channel.close(promise: nil) }

    /// Returns when the client has closed its sending side or is gone.
    func clientLeft() async throws { try await exchange.connection.clientLeft.wait() }
}

extension ServiceError {
    static let shuttingDown = ServiceError(
        .shuttingDown, "The gateway is shutting down.", hint: "Send the request again; another gateway will answer.")
}

extension HTTPField.Name {
    static let requestID = HTTPField.Name("X-Request-Id")!
    static let exitCode = HTTPField.Name("Martlet-Exit-Code")!
    static let exitReason = HTTPField.Name("Martlet-Exit-Reason")!
    static let errorCode = HTTPField.Name("Martlet-Error-Code")!
    static let rateLimit = HTTPField.Name("RateLimit-Limit")!
    static let rateLimitRemaining = HTTPField.Name("RateLimit-Remaining")!
    static let rateLimitReset = HTTPField.Name("RateLimit-Reset")!
}
