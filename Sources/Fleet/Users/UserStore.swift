import PostgreSQL

/// The users. A change of role, tier or suspension is told to every ``Authenticator`` by a trigger.
package struct UserStore: Sendable {
    let database: PostgresPool

    /// Throws `already_exists` if name or email are taken (whatever their case), `invalid_request` if they have no
    /// legal form.
    package func create(
        email: String? = nil, name: String, role: Caller.Role = .user, tier: Tier = .free, by actor: AuditActor,
        requestID: String? = nil
    ) async throws -> User {
        try Self.check(name: name, email: email, undone: "User not created")
        return try await ServiceError.translating("User '\(name)' not created") {
            do {
                let rows = try await database.query(
                    """
                    WITH changed AS (
                        INSERT INTO users (id, name, email, role, tier)
                        VALUES (\(UserID()), \(name), \(email), \(role), \(tier)) RETURNING *),
                    \(AuditLog.line("user.create", owner: "id", from: "changed", actor: actor, requestID: requestID))
                    SELECT \(raw: Self.columns) FROM changed
                    """)
                return try Self.single(rows, "'\(name)'")
            } catch let error as PostgresError where error.isUniqueViolation {
                throw Self.taken("User not created")
            }
        }
    }

    package func byID(_ id: UserID) async throws -> User? {
        try await ServiceError.translating("User \(id) not read") {
            try await database.query("SELECT \(raw: Self.columns) FROM users WHERE id = \(id)").first.map(User.init)
        }
    }

    /// Whatever the case of the letters.
    package func byName(_ name: String) async throws -> User? {
        guard Label.isLegal(name) else { return nil }
        return try await ServiceError.translating("User '\(name)' not read") {
            try await database.query("SELECT \(raw: Self.columns) FROM users WHERE lower(name) = lower(\(name))")
                .first.map(User.init)
        }
    }

    /// The names of those of them that there are.
    package func names(of ids: Set<UserID>) async throws -> [UserID: String] {
        guard !ids.isEmpty else { return [:] }
        let texts = ids.map(\.description)
        return try await ServiceError.translating("Names of users not read") {
            var names: [UserID: String] = [:]
            for row in try await database.query("SELECT id, name FROM users WHERE id = ANY(\(texts)::uuid[])") {
                names[try row.decode("id")] = try row.decode("name")
            }
            return names
        }
    }

    /// The admin who was made first; what `martlet up` makes when there is none.
    package func firstAdmin() async throws -> User? {
        try await ServiceError.translating("First admin not read") {
            try await database.query(
                "SELECT \(raw: Self.columns) FROM users WHERE role = 'admin' ORDER BY created_at LIMIT 1"
            ).first.map(User.init)
        }
    }

    /// By id, at most 500; `after` continues after the last of a page.
    package func list(limit: Int = 100, after: UserID? = nil) async throws -> [User] {
        try await search(UserFilter(), limit: limit, after: after)
    }

    /// By id, at most 500; `after` continues after the last of a page.
    package func search(_ filter: UserFilter, limit: Int = 100, after: UserID? = nil) async throws -> [User] {
        try await ServiceError.translating("Users not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM users
                WHERE id > COALESCE(\(after), '00000000-0000-0000-0000-000000000000')::uuid \(filter.conditions)
                ORDER BY id LIMIT \(min(max(limit, 1), 500))
                """
            ).map(User.init)
        }
    }

    /// Changes what is not `nil`. Role and suspension are told to every server. Throws `user_not_found`,
    /// `already_exists` if name or email are taken, `invalid_request` if they have no legal form.
    @discardableResult
    package func update(
        _ id: UserID, _ update: UserUpdate, by actor: AuditActor, requestID: String? = nil
    ) async throws -> User {
        try Self.check(name: update.name, email: update.email ?? nil, undone: "User \(id) not changed")
        var assignments: SQL = "updated_at = now()"
        var detail: [String: String] = [:]
        func set(_ column: String, _ value: SQL, shown: String) {
            assignments = "\(assignments), \(raw: column) = \(value)"
            detail[column] = shown
        }
        if let name = update.name { set("name", "\(name)", shown: name) }
        if case .some(let email) = update.email { set("email", "\(email)", shown: email ?? "") }
        if let role = update.role { set("role", "\(role)", shown: role.rawValue) }
        return try await change(id, to: assignments, action: "user.update", detail: detail, actor, requestID)
    }

    /// Seen by the next call of the user. Throws `user_not_found`.
    @discardableResult
    package func setTier(
        _ tier: Tier, of id: UserID, by actor: AuditActor, requestID: String? = nil
    ) async throws -> User {
        try await change(
            id, to: "tier = \(tier), updated_at = now()", action: "user.tier", detail: ["tier": tier.rawValue], actor,
            requestID,
            with: """
                networked AS (
                    UPDATE dev_environments SET network = (wanted.network = 'egress')
                    FROM (
                        SELECT changed.id, COALESCE(user_quotas.network, \(tier.network)) AS network
                        FROM changed LEFT JOIN user_quotas ON user_quotas.user_id = changed.id) AS wanted
                    WHERE dev_environments.user_id = wanted.id AND state <> 'destroyed'
                        AND dev_environments.network <> (wanted.network = 'egress')),

                """)
    }

    /// A suspended user's tokens are refused from now on; their VMs are left alone. Throws `user_not_found`.
    @discardableResult
    package func setSuspended(
        _ suspended: Bool, _ id: UserID, by actor: AuditActor, requestID: String? = nil
    ) async throws -> User {
        try await change(
            id,
            to: suspended
                ? "suspended_at = COALESCE(suspended_at, now()), updated_at = now()"
                : "suspended_at = NULL, updated_at = now()",
            action: suspended ? "user.suspend" : "user.resume", detail: [:], actor, requestID)
    }

    private func change(
        _ id: UserID, to assignments: SQL, action: String, detail: [String: String], _ actor: AuditActor,
        _ requestID: String?, with following: SQL = ""
    ) async throws -> User {
        try await ServiceError.translating("User \(id) not changed") {
            let line = AuditLog.line(
                action, owner: "id", from: "changed", actor: actor, requestID: requestID, detail: detail)
            do {
                let rows = try await database.query(
                    """
                    WITH changed AS (
                        UPDATE users SET \(assignments) WHERE id = \(id) RETURNING *),
                    \(following)\(line)
                    SELECT \(raw: Self.columns) FROM changed
                    """)
                return try Self.single(rows, id.description)
            } catch let error as PostgresError where error.isUniqueViolation {
                throw Self.taken("User \(id) not changed")
            }
        }
    }

    private static func check(name: String?, email: String?, undone: String) throws(ServiceError) {
        guard name.map({ Label.isLegal($0) }) ?? true,
            email.map({ Label.isLegal($0, 3...320) && $0.contains("@") }) ?? true
        else {
            throw ServiceError(
                .invalidRequest, "\(undone): the name or the email has no legal form.",
                hint: "Give a name of 1 to 100 characters, and an email address or none.")
        }
    }

    private static func taken(_ undone: String) -> ServiceError {
        ServiceError(
            .alreadyExists, "\(undone): the name or the email is taken.",
            hint: "Choose another, or use the user that exists.")
    }

    private static let columns = "id, name, email, role, tier, suspended_at, created_at"

    private static func single(_ rows: [PostgresRow], _ name: String) throws -> User {
        guard let row = rows.first else {
            throw ServiceError(.userNotFound, "There is no user \(name).", hint: "Check the name or id.")
        }
        return try User(row: row)
    }
}

extension User {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        name = try row.decode("name")
        email = try row.decode("email")
        role = try row.decode("role")
        tier = try row.decode("tier")
        suspendedAt = try row.decode("suspended_at")
        createdAt = try row.decode("created_at")
    }
}
