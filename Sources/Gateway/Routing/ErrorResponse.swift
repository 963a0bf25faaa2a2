import Fleet
import HTTPTypes
import NIOCore
import NIOHTTP1
import WebSocket

extension ServiceError.Code {
    /// What the code is in HTTP. No `default`: a new code does not compile until it is answered.
    var status: HTTPResponse.Status {
        switch self {
        case .malformedJSON: .badRequest
        case .invalidRequest, .limitExceeded, .unknownLanguage, .runtimeUnavailable, .providerUnknown,
            .idempotencyMismatch:
            .unprocessableContent
        case .bodyTooLarge: .contentTooLarge
        case .requestTimeout: .requestTimeout
        case .unsupportedMediaType: .unsupportedMediaType
        case .notAcceptable: .notAcceptable
        case .unauthenticated: .unauthorized
        case .forbidden, .quotaExceeded, .crossSite: .forbidden
        case .tooManyExecutions, .tooManySockets, .tooManyTerminals, .rateLimited: .tooManyRequests
        case .upgradeRequired: .upgradeRequired
        case .routeNotFound, .environmentNotFound, .executionNotFound, .tokenNotFound, .userNotFound, .hostNotFound,
            .queueNotFound, .jobNotFound, .vmNotFound, .terminalNotFound:
            .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .executionNotRunning, .alreadyExists, .illegalTransition, .idempotencyConflict, .hostUnavailable, .vmKnown:
            .conflict
        case .vmDestroyed: .gone
        case .vmStartTimeout: .gatewayTimeout
        case .vmFailed, .vmUnreachable, .hostKeyMismatch, .executionLost: .badGateway
        case .fileNotFound: .notFound
        case .fileExists, .fileRefused, .isDirectory, .notADirectory, .directoryNotEmpty, .uploadMismatch: .conflict
        case .fileForbidden, .pathOutsideHome: .forbidden
        case .preconditionFailed: .preconditionFailed
        case .rangeNotSatisfiable: .rangeNotSatisfiable
        case .diskFull: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
        case .serviceUnavailable, .shuttingDown, .noHostAvailable: .serviceUnavailable
        case .internalError: .internalServerError
        }
    }
}

extension ServiceError {
    /// Any error in our vocabulary; what a user cannot be told becomes `internal_error`.
    init(describing error: any Error) {
        self =
            error as? ServiceError
            ?? ServiceError(
                .internalError, "The request failed by a fault of the server.",
                hint: "Try again; if it stays, give an admin the requestId.", cause: error)
    }

    /// `{"error":{"code","message","hint","requestId"}}`
    func responseBody(requestID: String) -> ByteBuffer {
        var body = ByteBuffer()
        body.writeStaticString("{\"error\":{")
        body.writeFields(of: self)
        body.writeStaticString(",\"requestId\":")
        body.writeJSONString(requestID)
        body.writeStaticString("}}\n")
        return body
    }

    /// Headers that go with the error's status.
    var responseHeaders: HTTPFields {
        var headers: HTTPFields = [.contentType: "application/json"]
        switch code.status {
        case .tooManyRequests, .serviceUnavailable: headers[.retryAfter] = "1"
        case .upgradeRequired:
            headers[.upgrade] = "websocket"
            headers[.webSocketVersion] = WebSocketHandshake.version
        default: break
        }
        // What was too large is not read on to find the next request.
        if code == .shuttingDown || code == .bodyTooLarge { headers[.connection] = "close" }
        return headers
    }
}

/// The answer to bytes that are not HTTP, or that came too slowly.
struct ProtocolRefusal: Error {
    let status: HTTPResponse.Status
    let error: ServiceError

    init(_ error: any Error) {
        switch error {
        case is HeaderTimeout:
            status = .requestTimeout
            self.error = ServiceError(
                .requestTimeout, "The request's head did not arrive in time.", hint: "Send the whole head at once.")
        case HTTPParserError.headerOverflow:
            status = .requestHeaderFieldsTooLarge
            self.error = ServiceError(
                .invalidRequest, "The request's head is too large.", hint: "Send fewer or shorter headers.")
        default:
            status = .badRequest
            self.error = ServiceError(
                .invalidRequest, "What was sent is not an HTTP/1.1 request.", hint: "Check what speaks to this port.",
                cause: error)
        }
    }
}
