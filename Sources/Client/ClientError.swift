import Foundation
import HTTPTransport

/// Why a call of the API has no answer, or a refusal for one. A refusal carries the server's own words.
package struct ClientError: Error, CustomStringConvertible {
    /// What kind of failure it is; each has an exit code of its own (docs: README, "Exit codes").
    package enum Kind: Sendable, CaseIterable {
        case unreachable  // no answer at all
        case notAllowed  // 401, 403, or no token to send
        case refused  // any other 4xx: the request cannot succeed as it is
        case failed  // 5xx, or a stream that ended without saying how

        package var exitCode: Int32 {
            switch self {
            case .unreachable: 120
            case .notAllowed: 121
            case .refused: 122
            case .failed: 123
            }
        }
    }

    package let kind: Kind
    package let code: String
    package let message: String
    package let hint: String
    package let requestID: String?

    package init(_ kind: Kind, code: String, message: String, hint: String, requestID: String? = nil) {
        self.kind = kind
        self.code = code
        self.message = message
        self.hint = hint
        self.requestID = requestID
    }

    package var description: String { "\(message) \(hint) (\(detail))" }

    /// What programs and helpers want to know: the code, and which request it was.
    package var detail: String { code + (requestID.map { ", request \($0)" } ?? "") }

    /// What `--json` prints where the server has sent no end: an event of the kind `error`, as a line without its end.
    package var eventLine: [UInt8] {
        struct Event: Encodable {
            let event = "error"
            let code: String
            let message: String
            let hint: String
            let requestId: String?
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let event = Event(code: code, message: message, hint: hint, requestId: requestID)
        return Array((try? encoder.encode(event)) ?? Data())
    }

    init(_ error: HTTPTransportError, server: String) {
        switch error.code {
        case .connectFailed:
            self.init(
                .unreachable, code: error.code.rawValue, message: "No server answers at \(server).",
                hint: "Start one with 'martlet up', or set MARTLET_URL.")
        case .timeout, .tls, .invalidRequest:
            self.init(
                .unreachable, code: error.code.rawValue, message: error.message,
                hint: "Is \(server) the right server? 'martlet doctor' looks closer.")
        case .closed, .protocolViolation, .tooLarge, .failed:
            self.init(
                .failed, code: error.code.rawValue, message: error.message,
                hint: "The server may have been stopped; try again.")
        }
    }

    static func cut(_ execution: String?) -> ClientError {
        ClientError(
            .failed, code: "stream_cut", message: "The stream ended before the run did.",
            hint: execution.map { "What became of it: GET /v1/executions/\($0)." } ?? "Try again.")
    }
}
