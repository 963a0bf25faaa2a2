import PostgreSQL
import Synchronization
import TestSupport
import Testing

struct Refusal: Error {
    var cause: (any Error)?
}

@Suite struct TransactionTests {
    private func count(_ pool: PostgresPool) async throws -> Int {
        try await pool.query("select count(*)::int as count from items")[0].decode("count")
    }

    @Test func whatReturnsIsCommittedAndWhatThrowsIsRolledBack() async throws {
        try await LivePostgres.withDatabase(size: 2) { pool in
            try await pool.execute("create table items (id int)")
            let result = try await pool.withTransaction { connection in
                try await connection.execute("insert into items values (1)")
                #expect(try await count(pool) == 0)
                return "done"
            }
            #expect(result == "done")
            await #expect(throws: Refusal.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("insert into items values (2)")
                    throw Refusal()
                }
            }
            #expect(try await count(pool) == 1)
        }
    }

    @Test func aCancelledTransactionIsRolledBackAtOnce() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            try await pool.execute("create table items (id int)")
            let transaction = Task {
                try await pool.withTransaction { connection in
                    try await connection.execute("insert into items values (1)")
                    try await connection.execute("select pg_sleep(60)")
                }
            }
            try await eventually(describing: "the transaction running") {
                try await activeStatements(observer, like: "%pg_sleep%") == 1
            }
            transaction.cancel()
            await #expect(throws: CancellationError.self) { try await transaction.value }
            let open = try await observer.query(
                "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
            )
            #expect(open.isEmpty)
            #expect(try await count(observer) == 0)
            #expect(pool.statistics == (open: 1, idle: 1, waiting: 0))
        }
    }

    /// Also where the body wraps the error in one of its own, as the stores above do.
    @Test func aSerializationFailureIsRepeated() async throws {
        let runs = Mutex(0)
        try await LivePostgres.withDatabase(size: 2) { pool in
            try await pool.execute("create table counter as select 0 as n")
            try await pool.withTransaction(isolation: .repeatableRead) { connection in
                let run = runs.withLock { runs in
                    runs += 1
                    return runs
                }
                _ = try await connection.query("select n from counter")
                if run < 3 { try await pool.execute("update counter set n = n + 1") }
                do {
                    try await connection.execute("update counter set n = n + 10")
                } catch {
                    throw Refusal(cause: error)
                }
            }
            #expect(runs.withLock { $0 } == 3)
            #expect(try await pool.query("select n from counter")[0].decode("n") == 12)
        }
    }

    @Test func aSerializationFailureIsNotRepeatedForEver() async throws {
        let runs = Mutex(0)
        try await LivePostgres.withDatabase(size: 1) { pool in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { connection in
                    runs.withLock { $0 += 1 }
                    try await connection.script("do $$ begin raise exception 'again' using errcode = '40001'; end $$")
                }
            }
            #expect(error?.isSerializationFailure == true)
            #expect(runs.withLock { $0 } == 6)
        }
    }

    @Test func aSwallowedErrorIsNoCommit() async throws {
        try await LivePostgres.withDatabase(size: 1) { pool in
            try await pool.execute("create table items (id int)")
            let error = await #expect(throws: PostgresError.self) {
                try await pool.withTransaction { connection in
                    try await connection.execute("insert into items values (1)")
                    _ = try? await connection.execute("insert into items values ('nonsense')")
                }
            }
            #expect(error?.kind == .transactionAborted)
            #expect(try await count(pool) == 0)
        }
    }
}
