/// A refusal or failure that a user can be told. One vocabulary for every room from `Fleet` upward.
///
/// ``code`` is the contract: codes are added, never renamed or reused. ``cause`` is for the log only and never
/// reaches a response; no message or hint holds a token, an environment variable's value or a bind.
package struct ServiceError: Error, CustomStringConvertible {
    package enum Code: String, CaseIterable, Sendable, Codable {
        // The request
        case malformedJSON = "malformed_json"
        case invalidRequest = "invalid_request"
        case bodyTooLarge = "body_too_large"
        case requestTimeout = "request_timeout"
        case unsupportedMediaType = "unsupported_media_type"
        case notAcceptable = "not_acceptable"
        case routeNotFound = "route_not_found"
        case methodNotAllowed = "method_not_allowed"
        case upgradeRequired = "upgrade_required"
        // The caller
        case unauthenticated
        case forbidden
        case crossSite = "cross_site"
        case tooManyExecutions = "too_many_executions"
        case tooManySockets = "too_many_sockets"
        case rateLimited = "rate_limited"
        case quotaExceeded = "quota_exceeded"
        case limitExceeded = "limit_exceeded"
        // What was asked for
        case unknownLanguage = "unknown_language"
        case runtimeUnavailable = "runtime_unavailable"
        case environmentNotFound = "environment_not_found"
        case executionNotFound = "execution_not_found"
        case executionNotRunning = "execution_not_running"
        case terminalNotFound = "terminal_not_found"
        case tooManyTerminals = "too_many_terminals"
        case tokenNotFound = "token_not_found"
        case userNotFound = "user_not_found"
        case hostNotFound = "host_not_found"
        case queueNotFound = "queue_not_found"
        case jobNotFound = "job_not_found"
        case vmNotFound = "vm_not_found"
        case providerUnknown = "provider_unknown"
        case alreadyExists = "already_exists"
        case idempotencyConflict = "idempotency_conflict"
        case idempotencyMismatch = "idempotency_mismatch"
        // The VM
        case illegalTransition = "illegal_transition"
        case vmStartTimeout = "vm_start_timeout"
        case vmFailed = "vm_failed"
        case vmDestroyed = "vm_destroyed"
        case vmUnreachable = "vm_unreachable"
        case hostKeyMismatch = "host_key_mismatch"
        case vmKnown = "vm_known"
        case executionLost = "execution_lost"
        case noHostAvailable = "no_host_available"
        case hostUnavailable = "host_unavailable"
        // Its files
        case fileNotFound = "file_not_found"
        case fileExists = "file_exists"
        case fileForbidden = "file_forbidden"
        case fileRefused = "file_refused"
        case pathOutsideHome = "path_outside_home"
        case isDirectory = "is_directory"
        case notADirectory = "not_a_directory"
        case directoryNotEmpty = "directory_not_empty"
        case preconditionFailed = "precondition_failed"
        case rangeNotSatisfiable = "range_not_satisfiable"
        case uploadMismatch = "upload_mismatch"
        case diskFull = "disk_full"
        // Ourselves
        case serviceUnavailable = "service_unavailable"
        case shuttingDown = "shutting_down"
        case internalError = "internal_error"
    }

    package let code: Code
    package let message: String
    package let hint: String
    package var cause: (any Error)?

    package init(_ code: Code, _ message: String, hint: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
        self.cause = cause
    }

    package var description: String {
        "\(code.rawValue): \(message) \(hint)" + (cause.map { " Cause: \($0)" } ?? "")
    }
}
