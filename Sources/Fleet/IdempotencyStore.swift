import Cryptography
import Foundation
import PostgreSQL

/// Lets a request that is sent again be answered as the first time, instead of being done again.
///
/// A key is a user's own. Who begins first has the claim to it; the others are told that it is in progress until the
/// claim is completed, and then get its answer. Rows live 24 h. A claim that was neither completed nor abandoned is
/// taken over after a minute: its gateway is gone. Answers may hold a token: they are sealed.
///
/// What is made in one transaction completes the claim in it (``Keeper``): there is never the thing without its answer,
/// and one who was only slow finds his claim gone and makes nothing. What is not may be done twice where its gateway dies,
/// or takes a minute, between doing and ``complete(_:status:headers:body:)``.
package struct IdempotencyStore: Sendable {
    let database: PostgresPool
    let secretBox: SecretBox

    /// The right to carry a request out.
    package struct Claim: Sendable, Hashable {
        let user: UserID
        let key: String
        let id: UUID
    }

    package enum Beginning: Sendable, Hashable {
        /// Nobody has: carry it out, then complete or abandon the claim.
        case proceed(Claim)
        /// Answer this.
        case replay(status: Int, headers: [String: String], body: [UInt8])
        /// Somebody is at it. For a response: `idempotency_conflict`.
        case inProgress
        /// The key was used for another request. For a response: `idempotency_mismatch`.
        case mismatch
    }

    /// Completes a claim in the transaction that makes what the answer tells of.
    package struct Keeper<Made>: Sendable {
        let store: IdempotencyStore
        let claim: Claim
        let status: Int
        let body: @Sendable (Made) throws -> [UInt8]

        /// For those who make something else, of which a `Made` is made.
        package func of<Other>(_ transform: @escaping @Sendable (Other) throws -> Made) -> Keeper<Other> {
            Keeper<Other>(store: store, claim: claim, status: status) { [body] in try body(try transform($0)) }
        }

        /// Throws `idempotency_conflict` if the claim was taken over, to have all of it rolled back.
        func keep(_ made: Made, on connection: PostgresConnection) async throws {
            let statement = try store.completion(of: claim, status: status, headers: [:], body: try body(made))
            guard try await connection.execute(statement) > 0 else {
                throw ServiceError(
                    .idempotencyConflict,
                    "Nothing was made: this took so long that another request with its Idempotency-Key took over.",
                    hint: "Send it again in a moment: it is then answered as the other was.")
            }
        }
    }

    /// The most bytes of a body that can be given again.
    package static let bodyLimit = 64 << 10
    static let lifetimeHours = 24
    static let takeoverSeconds = 60

    /// `fingerprint` is whatever distinguishes the request from others: method, path and body; its SHA-256 is kept.
    /// Throws `invalid_request` for a key that is empty, over 255 characters, or not printable ASCII.
    package func begin(_ user: UserID, key: String, fingerprint: [UInt8]) async throws -> Beginning {
        guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw ServiceError.invalid(
                "Idempotency-Key", "has no legal form", "Give 1 to 255 printable characters, a UUID for example.")
        }
        let digest = SHA256.hash(fingerprint)
        let claim = Claim(user: user, key: key, id: UUID())
        return try await ServiceError.translating("Idempotency key not claimed") {
            // The row may go between the two statements, abandoned; that it does so time and again is a storm.
            for _ in 0..<10 {
                if try await take(claim, digest) { return .proceed(claim) }
                let rows = try await database.query(
                    """
                    SELECT fingerprint, status, answer FROM idempotency_keys
                    WHERE user_id = \(user) AND key = \(key) AND expires_at > now()
                    """)
                guard let row = rows.first else { continue }
                guard try row.decode("fingerprint") == digest else { return .mismatch }
                guard let status: Int = try row.decode("status") else { return .inProgress }
                let plain = try secretBox.open(try row.decode("answer"), context: Self.context(claim))
                let answer = try JSONDecoder().decode(Answer.self, from: Data(plain))
                return .replay(status: status, headers: answer.headers, body: [UInt8](answer.body))
            }
            return .inProgress
        }
    }

    /// Keeps the answer for whoever sends the request again. `false`: the claim was taken over meanwhile. Throws
    /// `internal_error` for a body above ``bodyLimit``.
    @discardableResult
    package func complete(
        _ claim: Claim, status: Int, headers: [String: String] = [:], body: [UInt8]
    ) async throws -> Bool {
        try await ServiceError.translating("Answer not kept") {
            try await database.execute(try completion(of: claim, status: status, headers: headers, body: body)) > 0
        }
    }

    /// To be handed on to where it is made. `body` makes the answer's of it.
    package func keeper<Made>(
        for claim: Claim, status: Int, body: @escaping @Sendable (Made) throws -> [UInt8]
    ) -> Keeper<Made> {
        Keeper(store: self, claim: claim, status: status, body: body)
    }

    private func completion(
        of claim: Claim, status: Int, headers: [String: String], body: [UInt8]
    ) throws -> SQL {
        guard body.count <= Self.bodyLimit else {
            throw ServiceError(
                .internalError, "An answer of \(body.count) bytes cannot be kept to be given again.",
                hint: "Send the request without an idempotency key.")
        }
        let plain = try JSONEncoder().encode(Answer(headers: headers, body: Data(body)))
        let sealed = try secretBox.seal(Array(plain), context: Self.context(claim))
        return """
            UPDATE idempotency_keys SET status = \(status), answer = \(sealed)
            WHERE user_id = \(claim.user) AND key = \(claim.key) AND claim = \(claim.id) AND status IS NULL
            """
    }

    /// Gives the claim up: nothing was done, and the request may be sent again.
    package func abandon(_ claim: Claim) async throws {
        try await ServiceError.translating("Idempotency key not given up") {
            try await database.execute(
                """
                DELETE FROM idempotency_keys
                WHERE user_id = \(claim.user) AND key = \(claim.key) AND claim = \(claim.id) AND status IS NULL
                """)
        }
    }

    /// Removes what has expired, at most `limit` rows, and returns how many. For the sweep.
    @discardableResult
    package func prune(limit: Int = 1_000) async throws -> Int {
        try await ServiceError.translating("Idempotency keys not pruned") {
            try await database.execute(
                """
                DELETE FROM idempotency_keys WHERE (user_id, key) IN (
                    SELECT user_id, key FROM idempotency_keys WHERE expires_at <= now()
                    ORDER BY expires_at LIMIT \(min(max(limit, 1), 10_000)) FOR UPDATE SKIP LOCKED)
                """)
        }
    }

    /// Takes a key that is free: unused, expired, or left by one who had it for the same request.
    private func take(_ claim: Claim, _ digest: [UInt8]) async throws -> Bool {
        let rows = try await database.query(
            """
            INSERT INTO idempotency_keys AS held (user_id, key, fingerprint, claim, expires_at)
            VALUES (\(claim.user), \(claim.key), \(digest), \(claim.id),
                now() + make_interval(hours => \(Self.lifetimeHours)))
            ON CONFLICT (user_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, claim = excluded.claim,
                claimed_at = now(), status = NULL, answer = NULL, expires_at = excluded.expires_at
            WHERE held.expires_at <= now() OR (held.status IS NULL AND held.fingerprint = excluded.fingerprint
                AND held.claimed_at <= now() - make_interval(secs => \(Self.takeoverSeconds)))
            RETURNING claim
            """)
        return !rows.isEmpty
    }

    private struct Answer: Codable {
        var headers: [String: String]
        var body: Data
    }

    private static func context(_ claim: Claim) -> String { "idempotency:\(claim.user):\(claim.key)" }
}
