package import Cryptography
import Foundation
import PostgreSQL

/// The keys that users log into their VMs with.
///
/// What is here is what counts: the file in a VM is written from it, before a connection is let through and when it changes.
package struct SSHKeyStore: Sendable {
    let database: PostgresPool

    /// The most keys of one user: an SSH server tries them in turn.
    package static let limit = 64

    /// `name` is the key's comment if there is none, else its kind. Throws `invalid_request` for a name of no legal form,
    /// `already_exists` for a key that the user has, `quota_exceeded` above 64, `user_not_found`. `keeper` keeps the answer
    /// in the same transaction; it throws `idempotency_conflict`.
    package func add(
        _ key: SSHPublicKey, name: String? = nil, for user: UserID, by actor: AuditActor, requestID: String? = nil,
        keeper: IdempotencyStore.Keeper<SSHKey>? = nil
    ) async throws -> SSHKey {
        let name = name ?? Self.name(of: key)
        guard Label.isLegal(name) else {
            throw ServiceError.invalid("name", "is no name", "Give 1 to 100 characters, not all of them blank.")
        }
        let line = AuditLog.line(
            "ssh_key.add", owner: "user_id", from: "changed", actor: actor, requestID: requestID,
            detail: ["name": name, "fingerprint": key.fingerprint, "algorithm": key.algorithm.rawValue])
        return try await ServiceError.translating("SSH key not added") {
            try await database.withTransaction { connection in
                // Of any number who add at once, each counts what those before have added.
                let users = try await connection.query("SELECT id FROM users WHERE id = \(user) FOR NO KEY UPDATE")
                guard !users.isEmpty else {
                    throw ServiceError(.userNotFound, "There is no user \(user).", hint: "Check the id.")
                }
                try await Self.checkRoom(for: key, of: user, on: connection)
                let rows = try await connection.query(
                    """
                    WITH changed AS (
                        INSERT INTO ssh_keys (id, user_id, name, public_key, fingerprint)
                        VALUES (\(SSHKeyID()), \(user), \(name), \(key.text), \(key.fingerprint))
                        RETURNING *),
                    \(line)
                    SELECT \(raw: Self.columns) FROM changed
                    """)
                guard let added = try rows.first.map({ try SSHKey(row: $0) }) else {
                    throw ServiceError(.internalError, "The key was not added.", hint: "Try again.")
                }
                try await keeper?.keep(added, on: connection)
                return added
            }
        }
    }

    private static func checkRoom(
        for key: SSHPublicKey, of user: UserID, on connection: PostgresConnection
    ) async throws {
        let held = try await connection.query(
            "SELECT name, fingerprint FROM ssh_keys WHERE user_id = \(user)")
        for row in held where try row.decode("fingerprint", as: String.self) == key.fingerprint {
            let name: String = try row.decode("name")
            throw ServiceError(
                .alreadyExists, "The key \(key.fingerprint) is there already, as '\(name)'.",
                hint: "There is nothing to do; see it with 'martlet key list'.")
        }
        guard held.count < limit else {
            throw ServiceError(
                .quotaExceeded, "Key not added: you have \(limit) already.",
                hint: "Remove one with 'martlet key remove'.")
        }
    }

    /// Oldest first; no more than there may be.
    package func list(of user: UserID) async throws -> [SSHKey] {
        try await ServiceError.translating("SSH keys not read") {
            try await database.query(
                "SELECT \(raw: Self.columns) FROM ssh_keys WHERE user_id = \(user) ORDER BY created_at, id"
            ).map(SSHKey.init)
        }
    }

    /// Throws `ssh_key_not_found` also for another's.
    package func remove(
        _ id: SSHKeyID, of user: UserID, by actor: AuditActor, requestID: String? = nil
    ) async throws {
        let line = AuditLog.line(
            "ssh_key.remove", owner: "user_id", from: "changed", actor: actor, requestID: requestID,
            detail: ["key": id.description])
        let rows = try await ServiceError.translating("SSH key \(id) not removed") {
            try await database.query(
                """
                WITH changed AS (DELETE FROM ssh_keys WHERE id = \(id) AND user_id = \(user) RETURNING user_id),
                \(line)
                SELECT user_id FROM changed
                """)
        }
        guard !rows.isEmpty else {
            throw ServiceError(
                .sshKeyNotFound, "There is no SSH key \(id).", hint: "See yours with 'martlet key list'.")
        }
    }

    private static func name(of key: SSHPublicKey) -> String {
        let comment = String(key.comment.unicodeScalars.prefix(100).map(Character.init))
        return Label.isLegal(comment) ? comment : key.algorithm.rawValue
    }

    private static let columns = "id, user_id, name, public_key, fingerprint, created_at"
}

extension SSHKey {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        userID = try row.decode("user_id")
        name = try row.decode("name")
        publicKey = try row.decode("public_key")
        fingerprint = try row.decode("fingerprint")
        createdAt = try row.decode("created_at")
    }
}
