import Fleet
import HTTPTypes

/// Bearer tokens (RFC 6750).
struct Authentication: Sendable {
    let authenticate: @Sendable (String) async throws -> Caller?

    /// Who the request's token belongs to. Throws ``Refused``.
    func caller(of head: HTTPRequest) async throws -> Caller {
        guard let header = head.headerFields[.authorization] else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\"",
                error: ServiceError(
                    .unauthenticated, "The request has no token.",
                    hint: "Send 'Authorization: Bearer mlt_…'; make a token with 'martlet token create'."))
        }
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\", error=\"invalid_request\"",
                error: ServiceError(
                    .unauthenticated, "The Authorization header is not of the form 'Bearer TOKEN'.",
                    hint: "Send 'Authorization: Bearer mlt_…'."))
        }
        guard let caller = try await authenticate(String(parts[1])) else {
            throw Refused(
                challenge: "Bearer realm=\"martlet\", error=\"invalid_token\"",
                error: ServiceError(
                    .unauthenticated, "The token is unknown, revoked or expired.",
                    hint: "Make a new one with 'martlet token create', or ask an admin."))
        }
        return caller
    }

    struct Refused: Error {
        let challenge: String
        let error: ServiceError
    }
}
