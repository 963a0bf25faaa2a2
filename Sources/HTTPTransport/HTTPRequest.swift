/// One HTTP/1.1 request. Redirects are not followed: a 3xx is an answer like any other.
package struct HTTPRequest: Sendable {
    package var method: String
    package var url: String  // http or https
    package var headers: [(String, String)]
    package var body: [UInt8]?
    package var unixSocket: String?  // connect to this path; the URL then gives path and Host only
    package var timeout: Duration?  // for everything, from connecting to the last byte; `nil` for streams without end
    package var idleTimeout: Duration?  // most time without a byte while somebody wants one; whole seconds
    package var connectTimeout: Duration
    package var tls: TLS
    private var repeatability: Bool?

    /// PEM files. Certificates are always verified, against the system's authorities unless one is given.
    package struct TLS: Hashable, Sendable {
        package var caCertificate: String?
        package var clientCertificate: String?
        package var clientKey: String?

        package init(caCertificate: String? = nil, clientCertificate: String? = nil, clientKey: String? = nil) {
            self.caCertificate = caCertificate
            self.clientCertificate = clientCertificate
            self.clientKey = clientKey
        }
    }

    package init(
        _ method: String = "GET", _ url: String, headers: [(String, String)] = [], body: [UInt8]? = nil,
        unixSocket: String? = nil, timeout: Duration? = .seconds(30), idleTimeout: Duration? = nil,
        connectTimeout: Duration = .seconds(10), tls: TLS = TLS()
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.unixSocket = unixSocket
        self.timeout = timeout
        self.idleTimeout = idleTimeout
        self.connectTimeout = connectTimeout
        self.tls = tls
    }

    /// Whether sending it twice is as good as once; as its method says (RFC 9110, section 9.2.2) unless set.
    ///
    /// libcurl by itself sends a request again, whatever its method, that a connection kept from earlier closes without
    /// an answer (`Curl_retry_request` in its transfer.c). What is not repeatable therefore never goes over such a one.
    package var isRepeatable: Bool {
        get { repeatability ?? ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(method) }
        set { repeatability = newValue }
    }

    /// What would let a caller's text become a header or request of its own.
    func validate() throws(HTTPTransportError) {
        func isToken(_ text: String) -> Bool {
            !text.isEmpty
                && text.utf8.allSatisfy { byte in
                    byte > 0x20 && byte < 0x7f && !"\"(),/:;<=>?@[\\]{}".utf8.contains(byte)
                }
        }
        guard isToken(method) else { throw HTTPTransportError(.invalidRequest, "'\(method)' is no HTTP method.") }
        for (name, value) in headers {
            let isClean = value.utf8.allSatisfy { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }
            guard isToken(name), isClean else {
                throw HTTPTransportError(.invalidRequest, "Header '\(name)' holds a character that none may hold.")
            }
        }
        let scheme = url.prefix { $0 != ":" }.lowercased()
        guard ["http", "https"].contains(scheme) else {
            throw HTTPTransportError(.invalidRequest, "The URL does not begin with http:// or https://.")
        }
        guard url.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw HTTPTransportError(.invalidRequest, "The URL holds a space or control character.")
        }
    }
}

/// A whole answer, in memory.
package struct HTTPResponse: Sendable {
    package let status: Int
    package let headers: [(String, String)]
    package let trailers: [(String, String)]
    package let body: [UInt8]

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The first header of this name, whatever its case.
    package subscript(name: String) -> String? { headers.first(named: name) }
}

extension [(String, String)] {
    func first(named name: String) -> String? {
        let name = name.lowercased()
        return first { $0.0.lowercased() == name }?.1
    }
}
