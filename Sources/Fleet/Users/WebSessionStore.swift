import Cryptography
import Foundation
import PostgreSQL
import Redis

/// The sessions of browsers: each is a cookie's value, of which only SHA-256 is kept, and stands for the API token that
/// it was begun with. It ends with that token, with its user's suspension, by signing out, and after
/// ``lifetimeDays`` in which nobody used it.
///
/// A session is begun with a token's text, or with a code that ``makeCode(for:)`` made of a token: good once, for ten
/// minutes, and kept in Redis, so a code may be lost with it.
package struct WebSessionStore: Sendable {
    let database: PostgresPool
    let redis: RedisClient
    let authenticator: Authenticator

    static let lifetimeDays = 14
    static let codeLifetimeSeconds = 600
    /// The most sessions of one user: beginning one more ends the one that was not used for the longest time.
    static let limit = 50

    /// How long a browser may keep the cookie.
    package static var cookieSeconds: Int { lifetimeDays * 86_400 }

    /// The value for the cookie, shown this once; `nil` for a token that is not good. Throws `account_suspended`.
    package func begin(token: String, requestID: String? = nil) async throws -> String? {
        guard let caller = try await authenticator.authenticate(token) else { return nil }
        return try await begin(caller.tokenID, by: "token", requestID: requestID)
    }

    /// As ``begin(token:requestID:)`` for a code, which is used up by it, whatever comes of it.
    package func begin(code: String, requestID: String? = nil) async throws -> String? {
        guard SessionText.isWellFormed(code) else { return nil }
        let key = Self.key(ofCode: code)
        let token = try await ServiceError.translating("Sign-in code not checked") {
            try await redis.command("GETDEL", RedisArgument(key)).text
        }
        guard let token = token.flatMap({ TokenID($0) }) else { return nil }
        return try await begin(token, by: "code", requestID: requestID)
    }

    /// A code to begin one session with.
    package func makeCode(for token: TokenID) async throws -> String {
        let code = try SessionText.random()
        _ = try await ServiceError.translating("Sign-in code not made") {
            try await redis.command(
                "SET", RedisArgument(Self.key(ofCode: code)), RedisArgument(token.description), "EX",
                RedisArgument(Self.codeLifetimeSeconds))
        }
        return code
    }

    /// Who a cookie's value stands for; `nil` if for nobody. Throws `account_suspended`.
    package func authenticate(_ session: String) async throws -> Caller? {
        guard SessionText.isWellFormed(session) else { return nil }
        return try await authenticator.authenticate(session: session)
    }

    /// Ends it everywhere; one that is none is ended already.
    package func end(_ session: String, requestID: String? = nil) async throws {
        guard SessionText.isWellFormed(session) else { return }
        let found: Caller?
        do {
            found = try await authenticate(session)
        } catch let error as ServiceError where error.code == .accountSuspended {
            return try await remove(session)
        }
        guard let caller = found else { return }
        let line = AuditLog.line(
            "session.end", owner: "user_id", from: "ended", actor: AuditActor(caller), requestID: requestID)
        _ = try await ServiceError.translating("Session not ended") {
            try await database.query(
                """
                WITH ended AS (
                    DELETE FROM web_sessions WHERE session_hash = \(SessionText.hash(session))::bytea RETURNING user_id),
                \(line)
                SELECT user_id FROM ended
                """)
        }
        authenticator.forget(caller.userID)
    }

    /// That of a suspended user: whose acts are not in the audit log, for there can be none.
    private func remove(_ session: String) async throws {
        _ = try await ServiceError.translating("Session not ended") {
            try await database.execute(
                "DELETE FROM web_sessions WHERE session_hash = \(SessionText.hash(session))::bytea")
        }
    }

    /// Removes at most `limit` that nobody may use any more; returns how many.
    package func prune(limit: Int) async throws -> Int {
        try await ServiceError.translating("Sessions not removed") {
            try await database.execute(
                """
                DELETE FROM web_sessions WHERE id IN (
                    SELECT web_sessions.id FROM web_sessions JOIN api_tokens ON api_tokens.id = token_id
                    WHERE web_sessions.last_used_at < now() - make_interval(days => \(Self.lifetimeDays))
                        OR revoked_at IS NOT NULL OR expires_at < now()
                    LIMIT \(limit))
                """)
        }
    }

    private func begin(_ token: TokenID, by means: String, requestID: String?) async throws -> String? {
        let session = try SessionText.random()
        let rows = try await ServiceError.translating("Session not begun") {
            try await database.query(
                """
                WITH surplus AS (
                    DELETE FROM web_sessions WHERE id IN (
                        SELECT web_sessions.id FROM web_sessions
                        JOIN api_tokens ON api_tokens.user_id = web_sessions.user_id
                        WHERE api_tokens.id = \(token)
                        ORDER BY web_sessions.last_used_at DESC OFFSET \(Self.limit - 1))),
                begun AS (
                    INSERT INTO web_sessions (id, user_id, token_id, session_hash)
                    SELECT \(UUID())::uuid, user_id, api_tokens.id, \(SessionText.hash(session))::bytea
                    FROM api_tokens JOIN users ON users.id = user_id
                    WHERE api_tokens.id = \(token) AND revoked_at IS NULL AND suspended_at IS NULL
                        AND (expires_at IS NULL OR expires_at > now())
                    RETURNING user_id),
                audited AS (
                    INSERT INTO environment_audit_log (user_id, actor_kind, actor_id, action, request_id, detail)
                    SELECT user_id, 'user', user_id::text, 'session.begin', \(requestID)::text,
                        \(AuditLog.json(["with": means, "token": token.description]))::jsonb
                    FROM begun)
                SELECT user_id FROM begun
                """)
        }
        guard rows.isEmpty else { return session }
        let suspended = try await ServiceError.translating("Session not begun") {
            try await database.query(
                """
                SELECT 1 FROM api_tokens JOIN users ON users.id = user_id
                WHERE api_tokens.id = \(token) AND revoked_at IS NULL AND suspended_at IS NOT NULL
                    AND (expires_at IS NULL OR expires_at > now())
                """)
        }
        if !suspended.isEmpty { throw ServiceError.accountSuspended }
        return nil
    }

    private static func key(ofCode code: String) -> String {
        "martlet:sign-in:" + hexadecimal(SessionText.hash(code))
    }
}

/// The value of a session's cookie, or a code: 32 random bytes in base64url, 43 characters.
enum SessionText {
    static func random() throws -> String { String(try TokenText.random().dropFirst(4)) }

    static func isWellFormed(_ text: String) -> Bool { TokenText.isWellFormed("mlt_" + text) }

    static func hash(_ text: String) -> [UInt8] { SHA256.hash(text.utf8) }
}
