import Foundation
import PostgreSQL

/// The history of executions.
package struct ExecutionStore: Sendable {
    let database: PostgresPool
    package let journal: ExecutionJournal

    /// How much is kept of code, stdout and stderr each.
    package static let keptBytes = 65_536

    /// Writes the row of an execution that begins; one that is there stays as it is.
    package func begin(_ record: ExecutionRecord) async throws {
        try await ServiceError.translating("Execution \(record.id) not recorded") {
            try await database.execute(
                """
                INSERT INTO environment_executions (\(raw: Self.beginningColumns), state)
                VALUES (\(Self.beginning(record)), 'running') ON CONFLICT (id) DO NOTHING
                """)
        }
    }

    /// Writes all of an execution at once: ``begin(_:)`` and ``finish(_:_:actor:)`` in one statement.
    @discardableResult
    package func complete(
        _ record: ExecutionRecord, _ outcome: ExecutionOutcome, actor: AuditActor
    ) async throws -> Bool {
        try await ServiceError.translating("Execution \(record.id) not recorded") {
            let rows = try await database.query(
                """
                WITH ended AS (
                    INSERT INTO environment_executions AS row (\(raw: Self.beginningColumns), \(raw: Self.endColumns))
                    VALUES (\(Self.beginning(record)), \(Self.end(outcome, startedAt: Self.startedAt(record))))
                    ON CONFLICT (id) DO UPDATE SET (\(raw: Self.endColumns)) = (\(raw: Self.excludedEnd))
                        WHERE row.state IN ('running', 'lost')
                    RETURNING *),
                \(Self.audited(actor))
                SELECT id FROM ended
                """)
            return !rows.isEmpty
        }
    }

    /// Writes how an execution ended and its audit line; `false` if it has ended before. One that was called lost can
    /// still end: its gateway was slow, not dead.
    @discardableResult
    package func finish(
        _ id: ExecutionID, _ outcome: ExecutionOutcome, actor: AuditActor
    ) async throws -> Bool {
        try await ServiceError.translating("End of execution \(id) not recorded") {
            let rows = try await database.query(
                """
                WITH ended AS (
                    UPDATE environment_executions SET (\(raw: Self.endColumns)) =
                        ROW (\(Self.end(outcome, startedAt: "started_at")))
                    WHERE id = \(id) AND state IN ('running', 'lost')
                    RETURNING *),
                \(Self.audited(actor))
                SELECT id FROM ended
                """)
            return !rows.isEmpty
        }
    }

    /// Writes the rows of those that have only begun in the journal yet. Where that does not answer there are none, for
    /// then gateways begin them here.
    func admit(where isWanted: (ExecutionRecord) -> Bool) async throws {
        let begun: [ExecutionRecord]
        do {
            begun = try await journal.beginnings().filter(isWanted)
        } catch let error as ServiceError where error.code == .serviceUnavailable {
            return
        }
        guard !begun.isEmpty else { return }
        let known = try await known(begun.map(\.environmentID))
        for record in begun {
            if known.contains(record.environmentID) { try await begin(record) }  // else its history is gone as well
            try await journal.forgetBeginning(record.id)
        }
    }

    private func known(_ environments: [EnvironmentID]) async throws -> Set<EnvironmentID> {
        try await ServiceError.translating("Environments not read") {
            let rows = try await database.query(
                "SELECT id FROM dev_environments WHERE id = ANY(\(environments.map(\.description))::uuid[])")
            return Set(try rows.map { try $0.decode("id", as: EnvironmentID.self) })
        }
    }

    /// Completes those of these executions whose end is in the journal, and says whether there were any.
    @discardableResult
    package func settle(_ ids: [ExecutionID]) async throws -> Bool {
        let entries = try await journal.ends(ids)
        for entry in entries {
            try await finish(entry.id, entry.outcome, actor: entry.actor)
            try await journal.forget(entry.id)
        }
        return !entries.isEmpty
    }

    /// What `read` reads, again if something in it had ended and its row did not say so yet.
    func settled(_ read: () async throws -> [ExecutionSummary]) async throws -> [ExecutionSummary] {
        let found = try await read()
        return try await settle(found.filter { $0.state == .running }.map(\.id)) ? try await read() : found
    }

    /// A user's executions, newest first, at most 500; `before` continues after the last of a page.
    package func list(
        owner: UserID, limit: Int = 50, before: ExecutionID? = nil
    ) async throws -> [ExecutionSummary] {
        let rest: SQL =
            if let before {
                """
                AND (started_at, id) < (
                    SELECT started_at, id FROM environment_executions WHERE id = \(before) AND user_id = \(owner))
                """
            } else {
                ""
            }
        try await admit { $0.userID == owner }
        return try await settled {
            try await ServiceError.translating("Executions not read") {
                try await database.query(
                    """
                    SELECT \(raw: Self.columns) FROM environment_executions WHERE user_id = \(owner) \(rest)
                    ORDER BY started_at DESC, id DESC LIMIT \(min(max(limit, 1), 500))
                    """
                ).map(ExecutionSummary.init)
            }
        }
    }

    /// Anybody's, for admins.
    package func find(_ id: ExecutionID) async throws -> ExecutionDetail? {
        try await find("id = \(id)", id)
    }

    /// `nil` also for somebody else's: whether it exists is not told.
    package func find(_ id: ExecutionID, owner: UserID) async throws -> ExecutionDetail? {
        try await find("id = \(id) AND user_id = \(owner)", id)
    }

    private func find(_ condition: SQL, _ id: ExecutionID) async throws -> ExecutionDetail? {
        try await admit { $0.id == id }
        let found = try await read(condition, id)
        guard found?.summary.state == .running, try await settle([id]) else { return found }
        return try await read(condition, id)
    }

    private func read(_ condition: SQL, _ id: ExecutionID) async throws -> ExecutionDetail? {
        try await ServiceError.translating("Execution \(id) not read") {
            let rows = try await database.query(
                """
                SELECT \(raw: Self.columns), code, stdout, stderr FROM environment_executions WHERE \(condition)
                """)
            guard let row = rows.first else { return nil }
            return ExecutionDetail(
                summary: try ExecutionSummary(row: row), code: try row.decode("code"),
                stdout: try row.decode("stdout", as: [UInt8]?.self) ?? [],
                stderr: try row.decode("stderr", as: [UInt8]?.self) ?? [])
        }
    }

    /// How many executions run in an environment at present.
    package func countRunning(in environment: EnvironmentID) async throws -> Int {
        try await admit { $0.environmentID == environment }
        return try await ServiceError.translating("Executions not counted") {
            let rows = try await database.query(
                """
                SELECT count(*) AS count FROM environment_executions
                WHERE environment_id = \(environment) AND state = 'running'
                """)
            return try rows.first?.decode("count") ?? 0
        }
    }

    /// Calls those lost that began at least 10 s ago on a gateway that is not among the living and whose end is not in
    /// the journal, and returns them; at most `limit`. See ``Presence/alive()`` for who lives, and when that cannot be told.
    @discardableResult
    package func loseAbandoned(
        gatewaysAlive: Set<String>, olderThan age: Duration = .seconds(10), limit: Int = 500, actor: AuditActor
    ) async throws -> [ExecutionID] {
        let names = gatewaysAlive.sorted()
        let seconds = age / .seconds(1)
        // Gateways that live have written theirs long since.
        try await admit { $0.startedAt.timeIntervalSinceNow <= -seconds }
        return try await ServiceError.translating("Lost executions not marked") {
            let abandoned: [ExecutionID] = try await database.query(
                """
                SELECT id FROM environment_executions
                WHERE state = 'running' AND gateway_id <> ALL(\(names)::text[])
                    AND started_at <= now() - make_interval(secs => \(seconds)::double precision)
                ORDER BY started_at LIMIT \(min(max(limit, 1), 1_000))
                """
            ).map { try $0.decode("id") }
            guard !abandoned.isEmpty else { return [] }
            try await settle(abandoned)
            return try await database.query(
                """
                WITH ended AS (
                    UPDATE environment_executions SET state = 'lost', finished_at = now(),
                        error_code = 'execution_lost', error_message = 'The gateway that ran it is gone.'
                    WHERE id IN (
                        SELECT id FROM environment_executions
                        WHERE state = 'running' AND id = ANY(\(abandoned.map(\.description))::uuid[])
                        FOR UPDATE SKIP LOCKED)
                    RETURNING *),
                \(Self.audited(actor))
                SELECT id FROM ended
                """
            ).map { try $0.decode("id") }
        }
    }

    private static func kept(_ bytes: [UInt8]) -> [UInt8] { Array(bytes.prefix(keptBytes)) }

    // The values of a row, in the order of these columns.

    private static let beginningColumns = """
        id, user_id, environment_id, gateway_id, request_id, language, code, code_bytes, started_at
        """

    private static func beginning(_ record: ExecutionRecord) -> SQL {
        """
        \(record.id), \(record.userID), \(record.environmentID), \(record.gatewayID), \(record.requestID),
        \(record.language), \(kept(record.code)), \(record.code.count), \(startedAt(record))
        """
    }

    /// A gateway's clock may be fast.
    private static func startedAt(_ record: ExecutionRecord) -> SQL {
        "LEAST(now(), \(record.startedAt)::timestamptz)"
    }

    private static let endColumnNames = [
        "state", "exit_code", "signal", "duration_ms", "cpu_ms", "max_rss_bytes", "truncated", "stdout", "stderr",
        "stdout_bytes", "stderr_bytes", "error_code", "error_message", "finished_at",
    ]
    private static let endColumns = endColumnNames.joined(separator: ", ")
    private static let excludedEnd = endColumnNames.map { "EXCLUDED.\($0)" }.joined(separator: ", ")

    private static func end(_ outcome: ExecutionOutcome, startedAt: SQL) -> SQL {
        let message = outcome.errorMessage.map { String($0.prefix(2_000)).replacing("\0", with: "\u{FFFD}") }
        return """
            \(outcome.state), \(outcome.exitCode), \(outcome.signal), \(outcome.durationMs), \(outcome.cpuMs),
            \(outcome.maxRssBytes), \(outcome.truncated), \(kept(outcome.stdout)), \(kept(outcome.stderr)),
            \(outcome.stdoutBytes), \(outcome.stderrBytes), \(outcome.errorCode?.rawValue), \(message),
            GREATEST(\(startedAt), LEAST(now(), \(outcome.endedAt)::timestamptz))
            """
    }

    /// The common table expression that writes a line for each row of `ended`.
    private static func audited(_ actor: AuditActor) -> SQL {
        """
        audited AS (
            INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action, request_id,
                error_code, duration_ms, detail)
            SELECT environment_id, user_id, \(actor.kind)::text, \(actor.id)::text, 'execute', request_id, error_code,
                CASE WHEN duration_ms >= 0 THEN duration_ms::bigint END,
                jsonb_build_object('execution', id::text, 'language', language, 'state', state)
            FROM ended)
        """
    }

    static let columns = """
        id, user_id, environment_id, gateway_id, request_id, state, language, code_bytes, exit_code, signal, \
        duration_ms, cpu_ms, max_rss_bytes, truncated, stdout_bytes, stderr_bytes, error_code, error_message, \
        started_at, finished_at
        """
}

extension ExecutionSummary {
    init(row: PostgresRow) throws {
        id = try row.decode("id")
        userID = try row.decode("user_id")
        environmentID = try row.decode("environment_id")
        gatewayID = try row.decode("gateway_id")
        requestID = try row.decode("request_id")
        state = try row.decode("state")
        language = try row.decode("language")
        codeBytes = try row.decode("code_bytes")
        exitCode = try row.decode("exit_code")
        signal = try row.decode("signal")
        durationMs = try row.decode("duration_ms")
        cpuMs = try row.decode("cpu_ms")
        maxRssBytes = try row.decode("max_rss_bytes")
        truncated = try row.decode("truncated")
        stdoutBytes = try row.decode("stdout_bytes")
        stderrBytes = try row.decode("stderr_bytes")
        errorCode = try row.decode("error_code", as: String?.self).flatMap(ServiceError.Code.init)
        errorMessage = try row.decode("error_message")
        startedAt = try row.decode("started_at")
        finishedAt = try row.decode("finished_at")
    }
}
