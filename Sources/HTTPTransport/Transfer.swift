import CLibCurl
import EventLoop
import Foundation

/// Status line and headers of a final (not 1xx) answer.
struct ResponseHead: Sendable {
    var status: Int
    var headers: [(String, String)] = []
}

/// One request and what has come back of it. Belongs to its ``TransferEngine`` and is touched on its loop only; libcurl
/// holds it unretained, and the engine takes the handle out of the multi handle before it lets go of this.
final class Transfer {
    enum Ending {
        case whole
        case failed(HTTPTransportError)
    }

    /// Above this many unread bytes the transfer pauses.
    static let highWatermark = 128 << 10
    /// Of all header and trailer lines together.
    static let headerLimit = 256 << 10

    private let easy: EasyHandle
    private let place: String
    private(set) var head: ResponseHead?
    private(set) var trailers: [(String, String)] = []
    private(set) var ending: Ending?
    var isPaused = false
    private var waiters: [Waiter<Void>] = []

    private var incomplete: ResponseHead?
    private var headerBytes = 0
    private var refusal: HTTPTransportError?  // why a callback stopped libcurl
    private var buffer: [UInt8] = []

    var raw: UnsafeMutableRawPointer { easy.raw }

    /// Whether it only connects: its connection then lives as long as its handle is in the multi handle.
    let isBare: Bool

    init(_ request: HTTPRequest, isBare: Bool = false) throws(HTTPTransportError) {
        place = request.place
        self.isBare = isBare
        easy = try EasyHandle(request, isBare: isBare)
        let context = Unmanaged.passUnretained(self).toOpaque()
        ccurl_setopt_write(
            easy.raw,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                return transfer.receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
            }, context)
        ccurl_setopt_header(
            easy.raw,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                let transfer = Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
                return transfer.receiveHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
            }, context)
    }

    /// Everything unread, if there is any.
    func take() -> [UInt8]? {
        guard !buffer.isEmpty else { return nil }
        defer { buffer = [] }
        return buffer
    }

    func finish(_ code: CURLcode) {
        ending = code == CURLE_OK ? .whole : .failed(refusal ?? failure(code))
        wake()
    }

    var noHead: HTTPTransportError {
        HTTPTransportError(.protocolViolation, "\(place) ended without an answer.")
    }

    /// Has the waiter resumed at the next change, whatever it is.
    func notify(_ waiter: Waiter<Void>) { waiters.append(waiter) }

    /// Resumes everybody who waits: they look again.
    func wake() {
        for waiter in waiters { waiter.resume(with: .success(())) }
        waiters.removeAll()
    }

    // MARK: From libcurl

    private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard buffer.count < Self.highWatermark else {
            isPaused = true
            return Int(CURL_WRITEFUNC_PAUSE)
        }
        buffer.append(contentsOf: bytes)
        wake()
        return bytes.count
    }

    private func receiveHeader(_ bytes: UnsafeRawBufferPointer) -> Int {
        headerBytes += bytes.count
        guard headerBytes <= Self.headerLimit else {
            refusal = HTTPTransportError(.tooLarge, "The headers of \(place) are over \(Self.headerLimit) bytes.")
            return 0  // not what was given: libcurl ends the transfer
        }
        let line = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        if head == nil, line.hasPrefix("HTTP/") {
            let status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) }
            incomplete = ResponseHead(status: status ?? 0)
        } else if line.isEmpty {
            if head == nil, let incomplete, incomplete.status >= 200 || incomplete.status == 101 {
                head = incomplete
                wake()
            }
        } else if let colon = line.firstIndex(of: ":") {
            let name = String(line[..<colon])
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            if head == nil { incomplete?.headers.append((name, value)) } else { trailers.append((name, value)) }
        }
        return bytes.count
    }

    func failure(_ code: CURLcode) -> HTTPTransportError {
        let reason = easy.errorText ?? String(cString: curl_easy_strerror(code))
        return HTTPTransportError(HTTPTransportError.Code(code), "\(place): \(reason).")
    }
}

extension HTTPTransportError.Code {
    init(_ code: CURLcode) {
        self =
            switch code {
            case CURLE_URL_MALFORMAT: .invalidRequest
            case CURLE_COULDNT_CONNECT, CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .connectFailed
            case CURLE_OPERATION_TIMEDOUT: .timeout
            case CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_PARTIAL_FILE: .closed
            // An answer that is not HTTP/1 looks like HTTP/0.9 to libcurl.
            case CURLE_UNSUPPORTED_PROTOCOL, CURLE_WEIRD_SERVER_REPLY, CURLE_BAD_CONTENT_ENCODING: .protocolViolation
            case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
                CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS, CURLE_USE_SSL_FAILED:
                .tls
            default: .failed
            }
    }
}
