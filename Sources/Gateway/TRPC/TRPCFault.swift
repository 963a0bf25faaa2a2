import Fleet
import HTTPTypes
import NIOCore

/// The errors that tRPC knows: a name, the number its clients tell them by, and an HTTP status (tRPC 11, `rpc/codes`
/// and `http/getHTTPStatusCode`). A client that listens to a subscription reconnects after -32603 and after no other.
enum TRPCCode: String, CaseIterable {
    case parseError = "PARSE_ERROR"
    case badRequest = "BAD_REQUEST"
    case internalServerError = "INTERNAL_SERVER_ERROR"
    case notImplemented = "NOT_IMPLEMENTED"
    case badGateway = "BAD_GATEWAY"
    case serviceUnavailable = "SERVICE_UNAVAILABLE"
    case gatewayTimeout = "GATEWAY_TIMEOUT"
    case unauthorized = "UNAUTHORIZED"
    case paymentRequired = "PAYMENT_REQUIRED"
    case forbidden = "FORBIDDEN"
    case notFound = "NOT_FOUND"
    case methodNotSupported = "METHOD_NOT_SUPPORTED"
    case timeout = "TIMEOUT"
    case conflict = "CONFLICT"
    case preconditionFailed = "PRECONDITION_FAILED"
    case payloadTooLarge = "PAYLOAD_TOO_LARGE"
    case unsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE"
    case unprocessableContent = "UNPROCESSABLE_CONTENT"
    case preconditionRequired = "PRECONDITION_REQUIRED"
    case tooManyRequests = "TOO_MANY_REQUESTS"
    case clientClosedRequest = "CLIENT_CLOSED_REQUEST"

    var number: Int {
        switch self {
        case .parseError: -32_700
        case .badRequest: -32_600
        case .internalServerError, .notImplemented, .badGateway, .serviceUnavailable, .gatewayTimeout: -32_603
        case .unauthorized: -32_001
        case .paymentRequired: -32_002
        case .forbidden: -32_003
        case .notFound: -32_004
        case .methodNotSupported: -32_005
        case .timeout: -32_008
        case .conflict: -32_009
        case .preconditionFailed: -32_012
        case .payloadTooLarge: -32_013
        case .unsupportedMediaType: -32_015
        case .unprocessableContent: -32_022
        case .preconditionRequired: -32_028
        case .tooManyRequests: -32_029
        case .clientClosedRequest: -32_099
        }
    }

    var status: HTTPResponse.Status {
        switch self {
        case .parseError, .badRequest: .badRequest
        case .internalServerError: .internalServerError
        case .notImplemented: .notImplemented
        case .badGateway: .badGateway
        case .serviceUnavailable: .serviceUnavailable
        case .gatewayTimeout: .gatewayTimeout
        case .unauthorized: .unauthorized
        case .paymentRequired: HTTPResponse.Status(code: 402, reasonPhrase: "Payment Required")
        case .forbidden: .forbidden
        case .notFound: .notFound
        case .methodNotSupported: .methodNotAllowed
        case .timeout: .requestTimeout
        case .conflict: .conflict
        case .preconditionFailed: .preconditionFailed
        case .payloadTooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .unprocessableContent: .unprocessableContent
        case .preconditionRequired: .preconditionRequired
        case .tooManyRequests: .tooManyRequests
        case .clientClosedRequest: HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request")
        }
    }
}

extension ServiceError.Code {
    /// What the code is in tRPC. No `default`: a new code does not compile until it is answered.
    var inTRPC: TRPCCode {
        switch self {
        case .malformedJSON, .invalidRequest, .limitExceeded, .unknownLanguage, .notAcceptable, .providerUnknown:
            .badRequest
        case .runtimeUnavailable, .idempotencyMismatch: .unprocessableContent
        case .bodyTooLarge: .payloadTooLarge
        case .requestTimeout: .timeout
        case .unsupportedMediaType: .unsupportedMediaType
        case .unauthenticated: .unauthorized
        case .forbidden, .accountSuspended, .quotaExceeded, .crossSite, .networkDenied: .forbidden
        case .tooManyExecutions, .tooManySockets, .tooManyTerminals, .rateLimited: .tooManyRequests
        case .upgradeRequired: .badRequest
        case .routeNotFound, .environmentNotFound, .executionNotFound, .tokenNotFound, .userNotFound, .hostNotFound,
            .queueNotFound, .jobNotFound, .vmNotFound, .terminalNotFound, .sshKeyNotFound:
            .notFound
        case .methodNotAllowed: .methodNotSupported
        case .executionNotRunning, .alreadyExists, .illegalTransition, .idempotencyConflict, .hostUnavailable, .vmKnown:
            .conflict
        case .vmDestroyed, .networkUnavailable: .preconditionFailed  // nothing that passes by waiting
        case .vmStartTimeout: .gatewayTimeout
        case .vmFailed, .vmUnreachable, .hostKeyMismatch, .executionLost: .badGateway
        case .serviceUnavailable, .shuttingDown, .noHostAvailable: .serviceUnavailable
        case .fileNotFound: .notFound
        case .fileExists, .fileRefused, .isDirectory, .notADirectory, .directoryNotEmpty, .uploadMismatch: .conflict
        case .fileForbidden, .pathOutsideHome: .forbidden
        case .preconditionFailed: .preconditionFailed
        case .rangeNotSatisfiable: .badRequest
        case .diskFull: .payloadTooLarge
        case .internalError: .internalServerError
        }
    }
}

/// A refusal or failure as a tRPC client is told it.
struct TRPCFault: Error {
    let code: TRPCCode
    let error: ServiceError
    private var retryAfterSeconds: Int?  // nil: as the error says

    /// `code` where it is not the one of the error's own code.
    init(_ error: ServiceError, as code: TRPCCode? = nil) {
        self.code = code ?? error.code.inTRPC
        self.error = error
    }

    init(describing error: any Error) {
        switch error {
        case let fault as TRPCFault: self = fault
        case let refused as Authentication.Refused: self.init(refused.error)
        case let exceeded as RateExceeded:
            self.init(exceeded.error)
            retryAfterSeconds = exceeded.verdict.retryAfterSeconds
        case let refused as ProtocolRefusal: self.init(refused.error)
        default: self.init(ServiceError(describing: error))
        }
    }

    /// Headers that go with the status, where the fault has it.
    var responseHeaders: HTTPFields {
        var headers = error.responseHeaders
        headers[.contentType] = nil
        if let retryAfterSeconds { headers[.retryAfter] = String(retryAfterSeconds) }
        return headers
    }

    /// `{"message","code","data":{"code","httpStatus","path","serviceCode","hint","requestId"}}`; no `path` where the
    /// fault belongs to no call.
    func shape(path: String?, requestID: String) -> ByteBuffer {
        var shape = ByteBuffer(string: "{\"message\":")
        shape.writeJSONString(error.message)
        shape.writeString(",\"code\":\(code.number),\"data\":{\"code\":\"\(code.rawValue)\",")
        shape.writeString("\"httpStatus\":\(code.status.code)")
        if let path {
            shape.writeStaticString(",\"path\":")
            shape.writeJSONString(path)
        }
        shape.writeString(",\"serviceCode\":\"\(error.code.rawValue)\",\"hint\":")
        shape.writeJSONString(error.hint)
        shape.writeStaticString(",\"requestId\":")
        shape.writeJSONString(requestID)
        shape.writeStaticString("}}")
        return shape
    }
}
