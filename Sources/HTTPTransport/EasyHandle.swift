import CLibCurl
import Foundation

/// Owns one `CURL *` with what it points at, set up for one request. Not `Sendable`: libcurl allows one thread at a
/// time in a handle. To be taken out of its multi handle before it is freed.
final class EasyHandle {
    let raw: UnsafeMutableRawPointer
    private let errorBuffer: UnsafeMutablePointer<CChar>
    private var headerList: UnsafeMutablePointer<curl_slist>?

    /// - Parameter isBare: whether it only connects, and leaves what is said to ``HTTPTunnel``.
    init(_ request: HTTPRequest, isBare: Bool = false) throws(HTTPTransportError) {
        guard let raw = curl_easy_init() else { throw HTTPTransportError(.failed, "No memory for a request.") }
        self.raw = raw
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        ccurl_setopt_ptr(raw, CURLOPT_ERRORBUFFER, errorBuffer)
        try setDefaults()
        try setTarget(of: request)
        if isBare {
            try set(CURLOPT_CONNECT_ONLY, 1)
            try set(CURLOPT_FRESH_CONNECT, 1)
            try set(CURLOPT_HTTPPROXYTUNNEL, 1)
        }
        try setBody(of: request)
        try setHeaders(of: request)
    }

    deinit {
        curl_easy_cleanup(raw)
        curl_slist_free_all(headerList)
        errorBuffer.deallocate()
    }

    /// What libcurl says of its last failure.
    var errorText: String? { errorBuffer.pointee == 0 ? nil : String(cString: errorBuffer) }

    private func setDefaults() throws(HTTPTransportError) {
        try set(CURLOPT_NOSIGNAL, 1)
        try set(CURLOPT_QUICK_EXIT, 1)  // else freeing a handle waits for its name look-up, on the loop
        try set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        try set(CURLOPT_PROTOCOLS_STR, "http,https")
        try set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        try set(CURLOPT_TCP_KEEPALIVE, 1)
        try set(CURLOPT_USERAGENT, "martlet")
    }

    private func setTarget(of request: HTTPRequest) throws(HTTPTransportError) {
        try set(CURLOPT_URL, request.url)
        if let socket = request.unixSocket { try set(CURLOPT_UNIX_SOCKET_PATH, socket) }
        if !request.isRepeatable { try set(CURLOPT_FRESH_CONNECT, 1) }
        // A proxy from the environment is for the world outside.
        let host = URLComponents(string: request.url)?.host ?? ""
        if request.unixSocket != nil || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(host) {
            try set(CURLOPT_PROXY, "")
        }
        try set(CURLOPT_CONNECTTIMEOUT_MS, max(1, request.connectTimeout.milliseconds))
        if let timeout = request.timeout { try set(CURLOPT_TIMEOUT_MS, max(1, timeout.milliseconds)) }
        if let idle = request.idleTimeout {
            try set(CURLOPT_LOW_SPEED_LIMIT, 1)  // bytes a second; a paused transfer is not judged
            try set(CURLOPT_LOW_SPEED_TIME, max(1, (idle.milliseconds + 999) / 1000))
        }
        if let path = request.tls.caCertificate { try set(CURLOPT_CAINFO, path) }
        if let path = request.tls.clientCertificate { try set(CURLOPT_SSLCERT, path) }
        if let path = request.tls.clientKey { try set(CURLOPT_SSLKEY, path) }
    }

    private func setBody(of request: HTTPRequest) throws(HTTPTransportError) {
        if request.method == "HEAD" {
            try set(CURLOPT_NOBODY, 1)
        } else if request.body != nil || ["POST", "PUT", "PATCH"].contains(request.method) {
            let body = request.body ?? []
            ccurl_setopt_offset(raw, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(body.count))
            try check(
                body.withUnsafeBytes {
                    ccurl_setopt_ptr(raw, CURLOPT_COPYPOSTFIELDS, $0.baseAddress ?? UnsafeRawPointer(errorBuffer))
                })
        }
        if request.method != "HEAD" { try set(CURLOPT_CUSTOMREQUEST, request.method) }
    }

    private func setHeaders(of request: HTTPRequest) throws(HTTPTransportError) {
        var lines = request.headers.map { $0.1.isEmpty ? "\($0.0);" : "\($0.0): \($0.1)" }
        // Without a value libcurl leaves out what it would add by itself.
        if request.headers.first(named: "Content-Type") == nil { lines.append("Content-Type:") }
        if request.headers.first(named: "Expect") == nil { lines.append("Expect:") }
        for line in lines {
            guard let longer = curl_slist_append(headerList, line) else {
                throw HTTPTransportError(.failed, "No memory for a request's headers.")
            }
            headerList = longer
        }
        try check(ccurl_setopt_ptr(raw, CURLOPT_HTTPHEADER, headerList))
    }

    private func set(_ option: CURLoption, _ value: Int) throws(HTTPTransportError) {
        try check(ccurl_setopt_long(raw, option, value))
    }

    private func set(_ option: CURLoption, _ value: String) throws(HTTPTransportError) {
        try check(ccurl_setopt_ptr(raw, option, value))  // libcurl copies strings
    }

    private func check(_ code: CURLcode) throws(HTTPTransportError) {
        guard code == CURLE_OK else {
            throw HTTPTransportError(.invalidRequest, "libcurl: \(String(cString: curl_easy_strerror(code))).")
        }
    }
}

extension Duration {
    /// Whole milliseconds, at most some three weeks: what libcurl takes.
    fileprivate var milliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(min(seconds, 2_000_000)) * 1_000 + Int(attoseconds / 1_000_000_000_000_000)
    }
}
