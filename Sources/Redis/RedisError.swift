/// Why a command has no answer. ``Code-swift.enum`` is the contract: added to, never renamed or reused.
package struct RedisError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable {
        case invalidURL = "redis_invalid_url"
        case connectionFailed = "redis_connection_failed"  // no connection within the time a command may wait
        case connectionLost = "redis_connection_lost"  // after the command was sent: it may have been carried out
        case timeout = "redis_timeout"  // sent, and not answered in time: it may have been carried out
        case server = "redis_server"  // refused by the server, in its words
        case protocolViolation = "redis_protocol"
        case closed = "redis_closed"  // by us
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "\(code.rawValue): \(message)" }

    /// The first word of what the server said: `WRONGTYPE`, `NOSCRIPT`, `ERR`, …
    package var serverCode: Substring? { code == .server ? message.prefix { $0 != " " } : nil }
}
