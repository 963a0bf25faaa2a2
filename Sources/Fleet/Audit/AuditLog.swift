package import Foundation
import PostgreSQL

/// One line of the audit log.
package struct AuditEntry: Sendable, Hashable {
    package let id: Int64
    package let environmentID: EnvironmentID?
    package let userID: UserID?
    package let actor: AuditActor
    package let action: String
    package let fromState: EnvironmentState?
    package let toState: EnvironmentState?
    package let generation: Int?
    package let requestID: String?
    /// `nil`: it was done.
    package let errorCode: String?
    package let durationMs: Int?
    package let detail: [String: String]
    package let createdAt: Date
}

/// What was done to whom, by whom, on whose request. Moves of environments write their own lines, in the transaction
/// of the move; this is for everything else, and for reading.
package struct AuditLog: Sendable {
    let database: PostgresPool

    /// `detail` must hold nothing secret.
    package func record(
        _ action: String, actor: AuditActor, environment: EnvironmentID? = nil, user: UserID? = nil,
        requestID: String? = nil, errorCode: String? = nil, duration: Duration? = nil, detail: [String: String] = [:]
    ) async throws {
        let durationMs = duration.map { Int($0 / .milliseconds(1)) }
        try await ServiceError.translating("Audit line '\(action)' not written") {
            try await database.execute(
                """
                INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action, request_id,
                    error_code, duration_ms, detail)
                VALUES (\(environment), \(user), \(actor.kind), \(actor.id), \(action), \(requestID), \(errorCode),
                    \(durationMs), \(Self.json(detail)))
                """)
        }
    }

    /// The newest lines first, at most 500; `before` continues after the last line of a page.
    package func search(
        _ filter: AuditFilter = AuditFilter(), limit: Int = 100, before: Int64? = nil
    ) async throws -> [AuditEntry] {
        try await ServiceError.translating("Audit log not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM environment_audit_log
                WHERE id < \(before ?? .max) \(filter.conditions)
                ORDER BY id DESC LIMIT \(Self.page(limit))
                """
            ).map(AuditEntry.init)
        }
    }

    /// What was done to an environment; as ``search(_:limit:before:)``.
    package func list(environment: EnvironmentID, limit: Int = 100, before: Int64? = nil) async throws -> [AuditEntry] {
        var filter = AuditFilter()
        filter.environment = environment
        return try await search(filter, limit: limit, before: before)
    }

    /// What was done to a user and to everything they own; as ``search(_:limit:before:)``.
    package func list(user: UserID, limit: Int = 100, before: Int64? = nil) async throws -> [AuditEntry] {
        var filter = AuditFilter()
        filter.user = user
        return try await search(filter, limit: limit, before: before)
    }

    /// Removes the oldest lines that are older than `age`, at most `limit` at once, and returns how many. For the sweep,
    /// which calls until it is none.
    package func prune(olderThan age: Duration, limit: Int) async throws -> Int {
        try await ServiceError.translating("Audit log not pruned") {
            try await database.prune("environment_audit_log", by: "created_at", olderThan: age, limit: limit)
        }
    }

    private static func page(_ limit: Int) -> Int { min(max(limit, 1), 500) }

    private static let columns = """
        id, environment_id, user_id, actor_kind, actor_id, action, from_state, to_state, generation, request_id, \
        error_code, duration_ms, detail::text AS detail, created_at
        """

    /// A common table expression that writes one line for each row of `source`, a relation with the owner's id in
    /// `owner`: what is done and its line are one statement.
    static func line(
        _ action: String, owner: String, from source: String, actor: AuditActor, requestID: String?,
        detail: [String: String] = [:]
    ) -> SQL {
        """
        audited AS (
            INSERT INTO environment_audit_log (user_id, actor_kind, actor_id, action, request_id, detail)
            SELECT \(raw: owner), \(actor.kind)::text, \(actor.id)::text, \(action)::text, \(requestID)::text,
                \(json(detail))::jsonb
            FROM \(raw: source))
        """
    }

    static func json(_ detail: [String: String]) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // PostgreSQL's jsonb holds no NUL, and a dictionary of strings always encodes.
        let clean = detail.mapValues { $0.replacing("\0", with: "\u{FFFD}") }
        return (try? encoder.encode(clean)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}

extension AuditEntry {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        environmentID = try row.decode("environment_id")
        userID = try row.decode("user_id")
        actor = AuditActor(kind: try row.decode("actor_kind"), id: try row.decode("actor_id"))
        action = try row.decode("action")
        fromState = try row.decode("from_state")
        toState = try row.decode("to_state")
        generation = try row.decode("generation")
        requestID = try row.decode("request_id")
        errorCode = try row.decode("error_code")
        durationMs = try row.decode("duration_ms")
        let text: String = try row.decode("detail")
        detail = (try? JSONDecoder().decode([String: String].self, from: Data(text.utf8))) ?? [:]
        createdAt = try row.decode("created_at")
    }
}
