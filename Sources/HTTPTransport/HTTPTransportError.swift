/// Why there is no answer, or not all of one.
package struct HTTPTransportError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidRequest = "http_invalid_request"
        case connectFailed = "http_connect_failed"  // the request was not sent
        case timeout = "http_timeout"
        case tls = "http_tls_failed"
        case closed = "http_connection_closed"  // before the answer was whole
        case protocolViolation = "http_protocol_violation"
        case tooLarge = "http_response_too_large"
        case failed = "http_failed"
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }
}
