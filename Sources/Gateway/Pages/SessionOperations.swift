import Fleet

/// What pages need of Fleet besides the API: who a browser is.
struct SessionOperations: Sendable {
    /// The value for a cookie; `nil` where the token is not good.
    var beginWithToken: @Sendable (_ token: String, _ requestID: String) async throws -> String?
    var beginWithCode: @Sendable (_ code: String, _ requestID: String) async throws -> String?
    var authenticate: @Sendable (_ session: String) async throws -> Caller?
    var end: @Sendable (_ session: String, _ requestID: String) async throws -> Void
    /// What a user is called.
    var name: @Sendable (Caller) async throws -> String

    static func live(_ fleet: Fleet) -> SessionOperations {
        SessionOperations(
            beginWithToken: { try await fleet.webSessions.begin(token: $0, requestID: $1) },
            beginWithCode: { try await fleet.webSessions.begin(code: $0, requestID: $1) },
            authenticate: { try await fleet.webSessions.authenticate($0) },
            end: { try await fleet.webSessions.end($0, requestID: $1) },
            name: { try await fleet.users.byID($0.userID)?.name ?? "" })
    }
}
