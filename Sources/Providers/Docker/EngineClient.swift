import EventLoop
import Foundation
import HTTPTransport
import Synchronization

/// Speaks the Docker Engine API with one engine, over a unix socket or TLS.
///
/// The API's version is agreed on with the first call: the newest that both know. Only what is the same in all versions
/// from ``oldest`` to ``newest`` is used, so one shape of each answer is decoded. An engine that has been replaced by
/// another version meanwhile says so with status 400, and is asked again.
///
/// Every call has a deadline and every answer a bound. What the engine refuses is thrown as ``EngineFailure``; that it
/// cannot be reached, as ``ProviderError`` `provider_unavailable`. A call whose request cannot have reached the engine is
/// made again, one that may have only if making it twice is the same as once.
struct EngineClient: Sendable {
    static let oldest = EngineVersion(1, 41)
    static let newest = EngineVersion(1, 51)
    private static let pauses: [Duration] = [.milliseconds(100), .milliseconds(400)]  // before the second and third try

    let address: EngineAddress
    private let http = HTTPClient()
    private let agreed = Agreed()

    private final class Agreed: Sendable {
        let version = Mutex<EngineVersion?>(nil)
    }

    init(address: EngineAddress) { self.address = address }

    // MARK: Calls

    /// - Parameter path: below the version's prefix, with what is not plain percent-encoded.
    func call(
        _ method: String, _ path: String, query: [(String, String)] = [], body: Body = .none,
        timeout: Duration = .seconds(30), limit: Int = 4 << 20
    ) async throws -> HTTPResponse {
        try await withVersion { version in
            let request = try request(method, "/v\(version)" + path, query: query, body: body, timeout: timeout)
            let response = try await send(request, limit: limit)
            guard response.status < 400 else { throw failure(response, "\(method) \(path)") }
            return response
        }
    }

    /// A call whose answer is a JSON document.
    func get<Answer: Decodable>(
        _ path: String, query: [(String, String)] = [], limit: Int = 32 << 20, as type: Answer.Type = Answer.self
    ) async throws -> Answer {
        let response = try await call("GET", path, query: query, limit: limit)
        return try decode(response.body, of: path)
    }

    /// A call that takes its time and says how it goes, a JSON object a line: building, pulling, importing. Ends with the
    /// call; a failure told in the stream is thrown as one. `idle` is the longest silence.
    func stream(
        _ path: String, query: [(String, String)], body: Body = .none, idle: Duration, timeout: Duration,
        _ each: (EngineMessage) async throws -> Void
    ) async throws {
        try await withVersion { version in
            var request = try request("POST", "/v\(version)" + path, query: query, body: body, timeout: timeout)
            request.idleTimeout = idle
            do {
                try await http.stream(request) { response in
                    var lines = LineSplitter(limit: 1 << 20)
                    var refusal: [UInt8] = []
                    for try await chunk in response {
                        guard response.status < 400 else {
                            refusal += chunk.prefix(max(0, 65_536 - refusal.count))
                            continue
                        }
                        for line in lines.take(chunk) { try await tell(line, path, each) }
                    }
                    guard response.status < 400 else {
                        throw failure(response.status, refusal, "POST \(path)")
                    }
                    if let last = lines.rest { try await tell(last, path, each) }
                }
            } catch let error as HTTPTransportError {
                throw unreachable(error)
            }
        }
    }

    private func tell(
        _ line: [UInt8], _ path: String, _ each: (EngineMessage) async throws -> Void
    ) async throws {
        guard line.contains(where: { $0 > 0x20 }) else { return }
        let message: EngineMessage = try decode(line, of: path)
        if let reason = message.errorDetail?.message ?? message.error {
            throw EngineFailure(status: 500, message: reason, call: "POST \(path)")
        }
        try await each(message)
    }

    // MARK: Agreeing

    /// What the engine is, asked afresh.
    func version() async throws -> EngineDescription {
        let response = try await send(try request("GET", "/version", timeout: .seconds(10)), limit: 1 << 20)
        guard response.status == 200 else { throw failure(response, "GET /version") }
        return try decode(response.body, of: "/version")
    }

    /// The newest version of the API that the engine and we know. Throws `provider_unavailable` if there is none.
    func negotiated() async throws -> EngineVersion {
        if let version = agreed.version.withLock({ $0 }) { return version }
        let engine = try await version()
        guard let theirs = EngineVersion(engine.apiVersion) else {
            throw ProviderError(
                .unavailable, "What answers at \(address) is no Docker engine.", hint: "Check DOCKER_HOST.")
        }
        let version = min(theirs, Self.newest)
        let least = max(Self.oldest, engine.minAPIVersion.flatMap { EngineVersion($0) } ?? Self.oldest)
        guard version >= least else {
            throw ProviderError(
                .unavailable,
                "The Docker engine at \(address) (\(engine.version)) speaks API \(engine.minAPIVersion ?? "?") to \(theirs), and Martlet \(Self.oldest) to \(Self.newest).",
                hint: theirs < Self.oldest ? "Update the engine to 20.10 or newer." : "Update Martlet.")
        }
        agreed.version.withLock { $0 = version }
        return version
    }

    private func withVersion<Result>(_ body: (EngineVersion) async throws -> Result) async throws -> Result {
        do {
            return try await body(try await negotiated())
        } catch let failure as EngineFailure
            where failure.status == 400 && failure.says("client version") && failure.says("too old", "too new")
        {
            agreed.version.withLock { $0 = nil }
            return try await body(try await negotiated())
        }
    }

    // MARK: Sending

    enum Body: Sendable {
        case none
        case json(any Encodable & Sendable)
        case tar([UInt8])
    }

    private func request(
        _ method: String, _ path: String, query: [(String, String)] = [], body: Body = .none, timeout: Duration
    ) throws -> HTTPRequest {
        let pairs = query.map { "\(percentEncoded($0.0))=\(percentEncoded($0.1))" }.joined(separator: "&")
        var request = HTTPRequest(
            method, address.base + path + (pairs.isEmpty ? "" : "?" + pairs), unixSocket: address.unixSocket,
            timeout: timeout, tls: address.tls)
        switch body {
        case .none: break
        case .json(let value):
            request.headers = [("Content-Type", "application/json")]
            request.body = try EngineCoding.encode(value)
        case .tar(let bytes):
            request.headers = [("Content-Type", "application/x-tar")]
            request.body = bytes
        }
        return request
    }

    private func send(_ request: HTTPRequest, limit: Int) async throws -> HTTPResponse {
        var pauses = Self.pauses.makeIterator()
        while true {
            do {
                return try await http.send(request, bodyLimit: limit)
            } catch let error as HTTPTransportError {
                let isSafe =
                    error.code == .connectFailed
                    || (error.code == .closed && ["GET", "HEAD", "PUT", "DELETE"].contains(request.method))
                guard isSafe, let pause = pauses.next() else { throw unreachable(error) }
                try await Task.sleep(for: pause)
            }
        }
    }

    private func unreachable(_ error: HTTPTransportError) -> ProviderError {
        let hint =
            switch error.code {
            case .tls: "Check DOCKER_CERT_PATH: it holds ca.pem, cert.pem and key.pem of this engine."
            case .connectFailed: "Start it ('systemctl start docker'), or name another by DOCKER_HOST."
            default: "See the engine's log."
            }
        return ProviderError(
            .unavailable, "The Docker engine at \(address) does not answer: \(error.message)", hint: hint,
            isRetryable: error.code != .tooLarge, cause: error)
    }

    private func failure(_ response: HTTPResponse, _ call: String) -> EngineFailure {
        failure(response.status, response.body, call)
    }

    /// The message is JSON mostly, plain text at times, and absent at others.
    private func failure(_ status: Int, _ body: [UInt8], _ call: String) -> EngineFailure {
        struct Envelope: Decodable { let message: String }
        let text = String(decoding: body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        let message = (try? JSONDecoder().decode(Envelope.self, from: Data(body)))?.message ?? text
        return EngineFailure(
            status: status, message: message.isEmpty ? "the engine gave no reason" : String(message.prefix(4000)),
            call: call)
    }

    private func decode<Answer: Decodable>(_ body: [UInt8], of path: String) throws -> Answer {
        do {
            return try EngineCoding.decode(body)
        } catch {
            throw ProviderError(
                .unavailable, "The Docker engine at \(address) answers \(path) in an unknown form.",
                hint: "Check DOCKER_HOST, and report which engine this is.", cause: error)
        }
    }
}

/// A version of the API, as `1.41`.
struct EngineVersion: Hashable, Comparable, Sendable, CustomStringConvertible {
    let major: Int
    let minor: Int

    init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    init?(_ text: String) {
        let parts = text.split(separator: ".").map { Int($0) }
        guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
        self.init(major, minor)
    }

    var description: String { "\(major).\(minor)" }

    static func < (left: EngineVersion, right: EngineVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

/// Takes lines out of chunks. A line over the limit loses what is over it.
private struct LineSplitter {
    let limit: Int
    private var partial: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    mutating func take(_ chunk: [UInt8]) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for piece in chunk.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            partial += piece.prefix(max(0, limit - partial.count))
            lines.append(partial)
            partial = []
        }
        partial = lines.removeLast()  // a split has one piece at least
        return lines
    }

    var rest: [UInt8]? { partial.isEmpty ? nil : partial }
}

/// All but the unreserved characters of RFC 3986, section 2.3.
func percentEncoded(_ text: String) -> String {
    let plain = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    return text.addingPercentEncoding(withAllowedCharacters: plain) ?? ""
}
