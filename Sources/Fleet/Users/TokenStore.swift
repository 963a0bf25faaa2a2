import Cryptography
package import Foundation
import PostgreSQL

/// The API tokens. Only SHA-256 of a token is kept: what is lost cannot be shown again, only replaced. A token has 256
/// random bits, so a plain hash is as good as a slow one.
package struct TokenStore: Sendable {
    let database: PostgresPool
    let authenticator: Authenticator

    /// The most living tokens of one user.
    static let limit = 200

    /// `token` is shown this once. Throws `user_not_found`, `forbidden` for the admin scope of one who is no admin,
    /// `invalid_request`, and `quota_exceeded` above 200 living tokens. `keeper` keeps the answer in the same
    /// transaction; it throws `idempotency_conflict`.
    package func create(
        for userID: UserID, name: String, scopes: Set<Caller.Scope> = [.user], expiresAt: Date? = nil,
        by actor: AuditActor, requestID: String? = nil,
        keeper: IdempotencyStore.Keeper<(token: String, record: APIToken)>? = nil
    ) async throws -> (token: String, record: APIToken) {
        guard Label.isLegal(name), !scopes.isEmpty, expiresAt.map({ $0 > .now }) ?? true else {
            throw ServiceError(
                .invalidRequest, "Token not created: its name, scopes or expiry have no legal form.",
                hint: "Give a name of 1 to 100 characters, at least one scope, and an expiry to come or none.")
        }
        let token = try TokenText.random()
        let scopeNames = scopes.map(\.rawValue).sorted()
        let isAdmin = scopes.contains(.admin)
        let line = AuditLog.line(
            "token.create", owner: "user_id", from: "changed", actor: actor, requestID: requestID,
            detail: ["name": name, "scopes": scopeNames.joined(separator: " ")])
        let made = try await ServiceError.translating("Token '\(name)' not created") {
            try await database.withTransaction { connection in
                let rows = try await connection.query(
                    """
                    WITH changed AS (
                        INSERT INTO api_tokens (id, user_id, name, token_hash, scopes, expires_at)
                        SELECT \(TokenID())::uuid, users.id, \(name)::text, \(TokenText.hash(token))::bytea,
                            \(scopeNames)::text[], \(expiresAt)::timestamptz
                        FROM users
                        WHERE id = \(userID) AND (role = 'admin' OR NOT \(isAdmin)::boolean)
                            AND (SELECT count(*) FROM api_tokens WHERE user_id = \(userID) AND revoked_at IS NULL
                                AND (expires_at IS NULL OR expires_at > now())) < \(Self.limit)
                        RETURNING *),
                    \(line)
                    SELECT \(raw: Self.columns) FROM changed
                    """)
                let record = try rows.first.map { try APIToken(row: $0) }
                if let record { try await keeper?.keep((token, record), on: connection) }
                return record
            }
        }
        guard let made else { throw try await refusal(of: userID, asAdmin: isAdmin) }
        return (token, made)
    }

    /// A user's tokens, revoked and expired ones among them; newest first, at most 500.
    package func list(of userID: UserID, limit: Int = 200) async throws -> [APIToken] {
        try await ServiceError.translating("Tokens not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM api_tokens WHERE user_id = \(userID)
                ORDER BY created_at DESC LIMIT \(min(max(limit, 1), 500))
                """
            ).map(APIToken.init)
        }
    }

    /// Refused everywhere from the moment the other servers hear of it, a matter of milliseconds; here at once.
    /// Revoking a revoked one succeeds. Throws `token_not_found` also for another's than `owner`'s (`nil`: the
    /// caller's), and for another's than the caller's unless an admin asks.
    package func revoke(
        _ id: TokenID, of owner: UserID? = nil, by caller: Caller, requestID: String? = nil
    ) async throws {
        let owner = owner ?? caller.userID
        let line = AuditLog.line(
            "token.revoke", owner: "user_id", from: "changed", actor: AuditActor(caller), requestID: requestID,
            detail: ["token": id.description])
        let rows = try await ServiceError.translating("Token \(id) not revoked") {
            try await database.query(
                """
                WITH found AS (
                    SELECT id, user_id FROM api_tokens
                    WHERE id = \(id) AND user_id = \(owner)
                        AND (user_id = \(caller.userID) OR \(caller.isAdmin)::boolean)),
                changed AS (
                    UPDATE api_tokens SET revoked_at = now() FROM found
                    WHERE api_tokens.id = found.id AND revoked_at IS NULL RETURNING api_tokens.user_id),
                \(line)
                SELECT user_id FROM found
                """)
        }
        guard let row = rows.first else {
            throw ServiceError(
                .tokenNotFound, "There is no token \(id).", hint: "See your own with 'martlet token list'.")
        }
        authenticator.forget(try row.decode("user_id"))
    }

    private func refusal(of userID: UserID, asAdmin: Bool) async throws -> ServiceError {
        let user = try await ServiceError.translating("User \(userID) not read") {
            try await database.query("SELECT role = 'admin' AS is_admin FROM users WHERE id = \(userID)").first
        }
        guard let user else {
            return ServiceError(.userNotFound, "There is no user \(userID).", hint: "Create the user first.")
        }
        if asAdmin, try !user.decode("is_admin", as: Bool.self) {
            return ServiceError(
                .forbidden, "Token not created: the scope 'admin' is for admins.", hint: "Ask for the scope 'user'.")
        }
        return ServiceError(
            .quotaExceeded, "Token not created: the user has \(Self.limit) already.",
            hint: "Revoke one with 'martlet token revoke ID'.")
    }

    private static let columns = "id, user_id, name, scopes, created_at, expires_at, revoked_at, last_used_at"
}

/// The text of a token: `mlt_` and 32 random bytes in base64url (RFC 4648, section 5), 43 characters.
enum TokenText {
    static func random() throws -> String {
        let text = Data(try Random.bytes(32)).base64EncodedString()
        return "mlt_" + text.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// Whether it can be one at all: what cannot need not be looked up.
    static func isWellFormed(_ token: String) -> Bool {
        token.utf8.count == 47 && token.hasPrefix("mlt_")
            && token.utf8.dropFirst(4).allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    static func hash(_ token: String) -> [UInt8] { SHA256.hash(token.utf8) }
}

extension APIToken {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        userID = try row.decode("user_id")
        name = try row.decode("name")
        let names: [String] = try row.decode("scopes")
        scopes = Set(names.compactMap(Caller.Scope.init))
        createdAt = try row.decode("created_at")
        expiresAt = try row.decode("expires_at")
        revokedAt = try row.decode("revoked_at")
        lastUsedAt = try row.decode("last_used_at")
    }
}
