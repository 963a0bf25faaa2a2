import PostgreSQL
import TestSupport
import Testing

@Suite struct MigratorTests {
    private let first = Migration(
        number: 1, name: "items", sql: "create table items (id int); insert into items values (1);")
    private let second = Migration(number: 2, name: "names", sql: "alter table items add column name text;")

    @Test func migrationsRunOnceUnderConcurrentMigrators() async throws {
        try await LivePostgres.withDatabase { pool in
            let migrator = Migrator(pool: pool, migrations: [second, first])
            #expect(try await migrator.pending() == [first, second])
            let applied = try await withThrowingTaskGroup(of: [Migration].self) { group in
                for _ in 0..<4 { group.addTask { try await migrator.run() } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(applied.filter { !$0.isEmpty } == [[first, second]])
            #expect(try await migrator.pending() == [])
            #expect(try await pool.query("select id, name from items").count == 1)
        }
    }

    @Test func aChangedMigrationIsRefusedBeforeAnythingHappens() async throws {
        try await LivePostgres.withDatabase { pool in
            try await Migrator(pool: pool, migrations: [first]).run()
            let changed = Migration(number: 1, name: "items", sql: first.sql + " ")
            let migrator = Migrator(pool: pool, migrations: [changed, second])
            let error = await #expect(throws: PostgresError.self) { try await migrator.run() }
            #expect(error?.kind == .migration)
            #expect(error?.message.contains("1 'items'") == true)
            #expect(try await pool.query("select * from items")[0].columns == ["id"])
        }
    }

    @Test(arguments: [
        ("create table gone (); select nonsense;", "42703"), ("create table gone (); rollback;", nil),
    ])
    func aFailingMigrationLeavesNothing(sql: String, sqlState: String?) async throws {
        try await LivePostgres.withDatabase { pool in
            let bad = Migration(number: 2, name: "bad", sql: sql)
            let error = await #expect(throws: PostgresError.self) {
                try await Migrator(pool: pool, migrations: [first, bad]).run()
            }
            #expect(error?.kind == .migration)
            #expect(error?.message.contains("2 'bad'") == true)
            #expect(error?.sqlState == sqlState)
            let gone = try await pool.query("select to_regclass('gone')::text as gone")
            #expect(try gone[0].decode("gone", as: String?.self) == nil)
            // The step before it stays, the lock is free, and the corrected one goes on from there.
            #expect(try await Migrator(pool: pool, migrations: [first, second]).run() == [second])
        }
    }
}
