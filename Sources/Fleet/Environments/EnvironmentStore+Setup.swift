import Cryptography
import Foundation
import PostgreSQL

extension EnvironmentStore {
    /// What the machine is made ready with, and what runs in it is given; empty for one that is destroyed. For the
    /// worker and for executions, nobody else. Throws `environment_not_found`.
    package func setup(of id: EnvironmentID) async throws -> EnvironmentSetup {
        try await ServiceError.translating("Setup of environment \(id) not read") {
            let rows = try await database.query("SELECT setup FROM dev_environments WHERE id = \(id)")
            guard let row = rows.first else { throw ServiceError.environmentNotFound("\(id)") }
            return try openSetup(try row.decode("setup"), of: id)
        }
    }

    /// The variables that everything run in it is given. They may be kept as long as the environment's
    /// ``Environment/setupVersion`` is the same. Throws `environment_not_found`.
    package func variables(of id: EnvironmentID) async throws -> [String: String] { try await setup(of: id).variables }

    /// Changes what an owner may change, and returns the environment after it. Variables count from the next execution
    /// on, a new script is run after the next start.
    ///
    /// Throws `environment_not_found` (also for somebody else's, unless an admin asks), `invalid_request`,
    /// `illegal_transition` once it is being destroyed. A refusal is a line in the audit log.
    @discardableResult
    package func update(
        _ id: EnvironmentID, _ update: EnvironmentUpdate, by caller: Caller, requestID: String?
    ) async throws -> Environment {
        let environment = try await authorized(id, for: caller, to: "update", requestID: requestID)
        return try await auditingRefusal(
            "update", of: id, owner: environment.userID, by: AuditActor(caller), requestID
        ) {
            if update.fields.isEmpty { return environment }
            if let name = update.name { try EnvironmentRequest.check(name: name) }
            if case .some(let hours) = update.durationHours { try EnvironmentRequest.check(durationHours: hours) }
            let changed = try await ServiceError.translating("Environment \(id) not changed") {
                try await database.withTransaction { connection in
                    try await apply(update, to: id, by: AuditActor(caller), requestID, on: connection)
                }
            }
            routes.forget(changed.userID)
            return changed
        }
    }

    private func apply(
        _ update: EnvironmentUpdate, to id: EnvironmentID, by actor: AuditActor, _ requestID: String?,
        on connection: PostgresConnection
    ) async throws -> Environment {
        let rows = try await connection.query(
            "SELECT setup, \(raw: Self.columns) FROM dev_environments WHERE id = \(id) FOR NO KEY UPDATE")
        guard let row = rows.first else { throw ServiceError.environmentNotFound("\(id)") }
        let environment = try Environment(row: row)
        guard environment.state != .destroying, environment.state != .destroyed else {
            throw ServiceError(
                .illegalTransition,
                "Environment \(environment.slug) cannot be changed while it is '\(environment.state.rawValue)'.",
                hint: environment.state.advice)
        }
        let before = try openSetup(try row.decode("setup"), of: id)
        var setup = before
        if let variables = update.variables { setup.variables = variables }
        if case .some(let script) = update.initScript { setup.initScript = script }
        try setup.check()
        let isScriptNew = setup.initScript != before.initScript && setup.initScript != nil
        let changesExpiry = update.durationHours != nil
        let sealed = setup == EnvironmentSetup() ? nil : try seal(setup, of: id)
        let updated = try await connection.query(
            """
            WITH changed AS (
                UPDATE dev_environments SET
                    name = COALESCE(\(update.name), name), setup = \(sealed),
                    setup_version = setup_version + \(setup == before ? 0 : 1),
                    has_init_script = \(setup.initScript != nil), variable_names = \(setup.variables.keys.sorted()),
                    initialized_at = CASE WHEN \(isScriptNew)::boolean THEN NULL ELSE initialized_at END,
                    expires_at = CASE WHEN \(changesExpiry)::boolean
                        THEN now() + make_interval(hours => \(update.durationHours ?? nil)::integer)
                        ELSE expires_at END,
                    updated_at = now()
                WHERE id = \(id) RETURNING *),
            audited AS (
                INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action, request_id,
                    detail)
                SELECT id, user_id, \(actor.kind)::text, \(actor.id)::text, 'update', \(requestID)::text,
                    \(AuditLog.json(["fields": update.fields.joined(separator: " ")]))::jsonb
                FROM changed)
            SELECT \(raw: Self.columns) FROM changed
            """)
        guard let row = updated.first else { throw ServiceError.environmentNotFound("\(id)") }
        return try Environment(row: row)
    }

    /// Notes that the machine was made anew, so that its setup is to be carried out again.
    package func clearInitialized(_ id: EnvironmentID) async throws {
        try await ServiceError.translating("Setup of environment \(id) not noted as undone") {
            try await database.execute(
                """
                UPDATE dev_environments SET initialized_at = NULL, updated_at = now()
                WHERE id = \(id) AND initialized_at IS NOT NULL
                """)
        }
    }

    // MARK: Sealing

    func seal(_ setup: EnvironmentSetup, of id: EnvironmentID) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return try secretBox.seal(Array(try encoder.encode(setup)), context: Self.setupContext(id))
    }

    private func openSetup(_ sealed: [UInt8]?, of id: EnvironmentID) throws -> EnvironmentSetup {
        guard let sealed else { return EnvironmentSetup() }
        let plain = try secretBox.open(sealed, context: Self.setupContext(id))
        return try JSONDecoder().decode(EnvironmentSetup.self, from: Data(plain))
    }

    private static func setupContext(_ id: EnvironmentID) -> String { "environment-setup:\(id)" }
}
