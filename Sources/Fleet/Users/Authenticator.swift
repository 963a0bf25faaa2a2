import Foundation
import PostgreSQL
import Synchronization

/// Says whose token it is. What it found is kept in memory, but only while it hears of changes: a trigger tells of
/// every revoked token, suspended user and changed role or tier, and between losing that connection and having it
/// again everything is looked up.
///
/// An answer that was on its way when a change was told is not kept: the lookup remembers the ``Cache/epoch`` it
/// began in. An entry lives a minute at most, whatever is heard, which bounds what a silently cut connection can do.
package final class Authenticator: Sendable {
    /// Two generations: what is used moves to the young one; when that is full the old one is dropped. Costs no list
    /// of uses and keeps whatever was used within the last `capacity / 2` different tokens.
    struct Cache {
        var isListening = false
        var epoch = 0
        var young: [[UInt8]: Entry] = [:]
        var old: [[UInt8]: Entry] = [:]

        mutating func clear() {
            epoch += 1
            young = [:]
            old = [:]
        }
    }

    struct Entry {
        let caller: Caller
        let expiresAt: Date?
        let staleAt: ContinuousClock.Instant
    }

    private let database: PostgresPool
    private let capacity: Int
    private let lifetime: Duration
    private let cache = Mutex(Cache())

    init(database: PostgresPool, capacity: Int, lifetime: Duration) {
        self.database = database
        self.capacity = capacity
        self.lifetime = lifetime
    }

    /// `nil`: no such token, or it is revoked or expired; which of them is not told. Throws `account_suspended`: who has
    /// the right token may know that it is not the token.
    package func authenticate(_ token: String) async throws -> Caller? {
        guard TokenText.isWellFormed(token) else { return nil }
        return try await authenticate(TokenText.hash(token), load)
    }

    /// The same for what a browser's session stands for. Kept with the tokens: no two hashes are alike.
    func authenticate(session: String) async throws -> Caller? {
        try await authenticate(SessionText.hash(session), loadSession)
    }

    private func authenticate(_ hash: [UInt8], _ load: ([UInt8]) async throws -> Entry?) async throws -> Caller? {
        let (hit, epoch) = cache.withLock { cache in (lookUp(hash, in: &cache), cache.epoch) }
        if let hit { return hit }
        guard let entry = try await load(hash) else { return nil }
        cache.withLock { cache in
            if cache.isListening, cache.epoch == epoch { insert(entry, for: hash, in: &cache) }
        }
        return entry.caller
    }

    /// Listens for changes until cancelled. Without it every token is looked up.
    package func run() async throws {
        defer { stopListening() }
        try await database.listen(
            ["api_tokens", "users"],
            { notification in
                guard let user = UserID(notification.payload) else { return self.clear() }
                self.forget(user)
            },
            onConnect: { self.startListening() },
            onDisconnect: { self.stopListening() })
    }

    /// Whether answers are kept at present.
    package var isListening: Bool { cache.withLock { $0.isListening } }

    /// Drops what is kept of a user.
    func forget(_ user: UserID) {
        cache.withLock { cache in
            cache.epoch += 1
            cache.young = cache.young.filter { $0.value.caller.userID != user }
            cache.old = cache.old.filter { $0.value.caller.userID != user }
        }
    }

    private func clear() { cache.withLock { $0.clear() } }

    private func startListening() {
        cache.withLock { cache in
            cache.clear()
            cache.isListening = true
        }
    }

    private func stopListening() {
        cache.withLock { cache in
            cache.clear()
            cache.isListening = false
        }
    }

    private func lookUp(_ hash: [UInt8], in cache: inout Cache) -> Caller? {
        guard cache.isListening else { return nil }
        let isYoung: Bool
        let entry: Entry
        if let found = cache.young[hash] {
            (entry, isYoung) = (found, true)
        } else if let found = cache.old.removeValue(forKey: hash) {
            (entry, isYoung) = (found, false)
        } else {
            return nil
        }
        guard entry.staleAt > .now, entry.expiresAt.map({ $0 > Date.now }) ?? true else {
            cache.young.removeValue(forKey: hash)
            return nil
        }
        if !isYoung { insert(entry, for: hash, in: &cache) }
        return entry.caller
    }

    private func insert(_ entry: Entry, for hash: [UInt8], in cache: inout Cache) {
        if cache.young.count >= max(1, capacity / 2) {
            cache.old = cache.young
            cache.young = [:]
        }
        cache.young[hash] = entry
    }

    /// Also notes the use, to the minute; a row that somebody else is noting is skipped, not waited for.
    private func load(_ hash: [UInt8]) async throws -> Entry? {
        let rows = try await ServiceError.translating("Token not checked") {
            try await database.query(
                """
                WITH used AS (
                    UPDATE api_tokens SET last_used_at = now()
                    WHERE id IN (
                        SELECT id FROM api_tokens
                        WHERE token_hash = \(hash) AND revoked_at IS NULL
                            AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
                        FOR UPDATE SKIP LOCKED))
                SELECT api_tokens.id, user_id, scopes, expires_at, role, tier, suspended_at IS NOT NULL AS is_suspended
                FROM api_tokens JOIN users ON users.id = user_id
                WHERE token_hash = \(hash) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
                """)
        }
        return try rows.first.map(entry)
    }

    /// As ``load(_:)`` for a session. A use is noted to the quarter of an hour, which is what its end is told by.
    private func loadSession(_ hash: [UInt8]) async throws -> Entry? {
        let rows = try await ServiceError.translating("Session not checked") {
            try await database.query(
                """
                WITH used AS (
                    UPDATE web_sessions SET last_used_at = now()
                    WHERE id IN (
                        SELECT id FROM web_sessions
                        WHERE session_hash = \(hash) AND last_used_at < now() - interval '15 minutes'
                            AND last_used_at > now() - make_interval(days => \(WebSessionStore.lifetimeDays))
                        FOR UPDATE SKIP LOCKED))
                SELECT api_tokens.id, api_tokens.user_id, scopes, expires_at, role, tier,
                    suspended_at IS NOT NULL AS is_suspended
                FROM web_sessions
                JOIN api_tokens ON api_tokens.id = token_id JOIN users ON users.id = api_tokens.user_id
                WHERE session_hash = \(hash)
                    AND web_sessions.last_used_at > now() - make_interval(days => \(WebSessionStore.lifetimeDays))
                    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
                """)
        }
        return try rows.first.map(entry)
    }

    private func entry(_ row: PostgresRow) throws -> Entry {
        guard try !row.decode("is_suspended", as: Bool.self) else { throw ServiceError.accountSuspended }
        let scopes: [String] = try row.decode("scopes")
        let caller = Caller(
            userID: try row.decode("user_id"), tokenID: try row.decode("id"), role: try row.decode("role"),
            scopes: Set(scopes.compactMap(Caller.Scope.init)), tier: try row.decode("tier"))
        return Entry(caller: caller, expiresAt: try row.decode("expires_at"), staleAt: .now + lifetime)
    }
}

extension ServiceError {
    static let accountSuspended = ServiceError(
        .accountSuspended, "Your account is suspended.",
        hint: "Your token is good, and nothing of yours is lost: ask an admin of this server.")
}
