/// One step of the schema. Once released, its text never changes: a further step corrects it.
package struct Migration: Sendable, Hashable {
    package let number: Int
    package let name: String
    package let sql: String  // any number of statements, run in one transaction

    package init(number: Int, name: String, sql: String) {
        self.number = number
        self.name = name
        self.sql = sql
    }
}

/// Brings a database to the schema of its migrations. Any number of processes may do so at once: an advisory lock lets
/// one through, and the others then find nothing left to do.
///
/// What was applied stands in `schema_migrations(number, name, checksum, applied_at)`, written in the migration's own
/// transaction. A step whose text is not the one that was applied is refused, before anything is changed.
package struct Migrator: Sendable {
    private static let lockKey = 5_571_836_226_201_354_337  // any number that others do not use
    private static let limit = Duration.seconds(600)  // for each step, and for the wait for others

    private let pool: PostgresPool
    private let migrations: [Migration]

    package init(pool: PostgresPool, migrations: [Migration]) {
        self.pool = pool
        self.migrations = migrations.sorted { $0.number < $1.number }
    }

    /// Applies what is pending, in order, and returns it. A step that fails leaves nothing of itself, and ends the run;
    /// the steps before it stay.
    @discardableResult
    package func run() async throws -> [Migration] {
        // The lock belongs to the session and goes with it, whatever happens.
        try await pool.withDedicatedConnection { connection in
            try await connection.execute("set statement_timeout = \(raw: "\(Self.limit.components.seconds * 1_000)")")
            _ = try await connection.query("select pg_advisory_lock(\(Self.lockKey))", deadline: Self.limit)
            try await connection.execute(
                """
                create table if not exists schema_migrations (
                    number bigint primary key, name text not null, checksum text not null,
                    applied_at timestamptz not null default now())
                """)
            let pending = try await pending(on: connection)
            for migration in pending { try await apply(migration, on: connection) }
            return pending
        }
    }

    /// What ``run()`` would apply now. Changes nothing.
    package func pending() async throws -> [Migration] {
        try await pool.withConnection { try await pending(on: $0) }
    }

    private func pending(on connection: PostgresConnection) async throws -> [Migration] {
        for (first, second) in zip(migrations, migrations.dropFirst()) where first.number == second.number {
            throw PostgresError(
                .migration, "Migrations '\(first.name)' and '\(second.name)' both have number \(first.number).")
        }
        guard let table = try await connection.query("select to_regclass('schema_migrations')::text").first,
            try table.decode(at: 0, as: String?.self) != nil
        else { return migrations }
        let rows = try await connection.query("select number, checksum from schema_migrations")
        var applied: [Int: String] = [:]
        for row in rows { applied[try row.decode("number")] = try row.decode("checksum", as: String.self) }
        let known = migrations.filter { applied[$0.number] != nil }
        let checksums = try await connection.pipeline(known.map { "select \(Self.checksum(of: $0)) as checksum" })
        for (migration, rows) in zip(known, checksums) {
            guard try rows.first?.decode("checksum") == applied[migration.number] else {
                throw PostgresError(
                    .migration,
                    "Migration \(migration.number) '\(migration.name)' is not the one that was applied to this database.",
                    hint: "Restore its text, and put the change into a migration of its own.")
            }
        }
        return migrations.filter { applied[$0.number] == nil }
    }

    /// SHA-256 of the text, computed by the server.
    private static func checksum(of migration: Migration) -> SQL {
        "encode(sha256(convert_to(\(migration.sql)::text, 'UTF8')), 'hex')"
    }

    private func apply(_ migration: Migration, on connection: PostgresConnection) async throws {
        do {
            try await PostgresPool.transaction(on: connection, isolation: .readCommitted) { connection in
                try await connection.script(migration.sql, deadline: Self.limit)
                guard await connection.isInTransaction else {
                    throw PostgresError(.migration, "its text ends the transaction it runs in.")
                }
                try await connection.execute(
                    """
                    insert into schema_migrations (number, name, checksum)
                    values (\(migration.number), \(migration.name), \(Self.checksum(of: migration)))
                    """)
            }
        } catch let error as PostgresError {
            throw PostgresError(
                .migration, "Migration \(migration.number) '\(migration.name)' not applied: \(error.message)",
                sqlState: error.sqlState, constraint: error.constraint, table: error.table, detail: error.detail,
                hint: error.hint)
        }
    }
}

extension PostgresConnection {
    fileprivate var isInTransaction: Bool { handle.transactionStatus == .open }
}
