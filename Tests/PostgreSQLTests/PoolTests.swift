import Foundation
import Logging
import PostgreSQL
import TestSupport
import Testing

/// What the server says about the statements that run in the pool's database.
func activeStatements(_ observer: PostgresPool, like pattern: String) async throws -> Int {
    try await observer.query(
        """
        select count(*)::int as count from pg_stat_activity
        where datname = current_database() and state = 'active' and query like \(pattern) and pid <> pg_backend_pid()
        """
    )[0].decode("count")
}

/// Two pools on one database: one under test, the other to look on.
func withObservedDatabase(size: Int, _ body: (PostgresPool, PostgresPool) async throws -> Void) async throws {
    try await LivePostgres.withDatabaseURL { url in
        let pool = PostgresPool(url: url, size: size, logger: .init(label: "test"))
        let observer = PostgresPool(url: url, size: 2, logger: .init(label: "test"))
        do {
            try await body(pool, observer)
        } catch {
            await pool.close()
            await observer.close()
            throw error
        }
        await pool.close()
        await observer.close()
    }
}

@Suite struct PoolTests {
    @Test func fiftyTasksShareFourConnections() async throws {
        try await LivePostgres.withDatabase(size: 4) { pool in
            let backends = try await withThrowingTaskGroup(of: (Int, Int, Int).self) { group in
                for number in 0..<50 {
                    group.addTask {
                        let row = try await pool.query(
                            "select \(number)::int as n, pg_backend_pid() as backend, pg_sleep(0.01)")[0]
                        return (number, try row.decode("n"), try row.decode("backend"))
                    }
                }
                return try await group.reduce(into: Set<Int>()) { backends, answer in
                    #expect(answer.0 == answer.1)
                    backends.insert(answer.2)
                }
            }
            #expect(backends.count <= 4)
            #expect(pool.statistics == (open: backends.count, idle: backends.count, waiting: 0))
        }
    }

    @Test func aCancelledQueryEndsOnTheServerAtOnce() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            let query = Task { try await pool.query("select pg_sleep(60)") }
            try await eventually(describing: "the query running") {
                try await activeStatements(observer, like: "%pg_sleep%") == 1
            }
            let clock = ContinuousClock()
            let began = clock.now
            query.cancel()
            await #expect(throws: CancellationError.self) { try await query.value }
            #expect(began.duration(to: clock.now) < .seconds(1))
            #expect(try await activeStatements(observer, like: "%pg_sleep%") == 0)
            #expect(try await pool.query("select 7 as n")[0].decode("n") == 7)
            #expect(pool.statistics == (open: 1, idle: 1, waiting: 0))
        }
    }

    @Test func aDeadlineCancelsTheStatement() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("select pg_sleep(60)", deadline: .milliseconds(50))
            }
            #expect(error?.kind == .timeout)
            let active = try await activeStatements(observer, like: "%pg_sleep%")
            #expect(active == 0)
            #expect(try await pool.query("select 7 as n")[0].decode("n") == 7)
        }
    }

    @Test func whoWaitsTooLongForAConnectionIsToldSo() async throws {
        try await LivePostgres.withDatabaseURL { url in
            let pool = PostgresPool(
                url: url, size: 1, acquireLimit: .milliseconds(50), logger: .init(label: "test"))
            try await pool.withConnection { connection in
                for _ in 0..<2 {
                    let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
                    #expect(error?.kind == .timeout)
                }
                #expect(pool.statistics == (open: 1, idle: 0, waiting: 0))
                try await connection.execute("select 1")
            }
            #expect(try await pool.query("select 7 as n")[0].decode("n") == 7)
            await pool.close()
        }
    }

    /// Whatever the moment of its cancellation, a task gets its own answer or none, and the connection goes back clean.
    @Test func cancellationsAtAnyMomentMixNoAnswersAndLoseNoConnection() async throws {
        try await LivePostgres.withDatabase(size: 4) { pool in
            try await pool.execute("create table log (n int)")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<400 {
                    let pause = Duration.microseconds(Int.random(in: 0...20_000))
                    group.addTask {
                        let query = Task {
                            try await pool.withTransaction { connection in
                                try await connection.execute("insert into log values (\(number))")
                                return try await connection.query("select \(number)::int as n, pg_sleep(0.002)")
                            }
                        }
                        try await Task.sleep(for: pause)  // the moment is what is varied
                        query.cancel()
                        guard let rows = try? await query.value else { return }
                        #expect(try rows[0].decode("n") == number)
                    }
                }
                try await group.waitForAll()
            }
            let statistics = pool.statistics
            #expect(statistics.waiting == 0)
            #expect(statistics.idle == statistics.open)
            #expect(statistics.open <= 4)
            let twice = try await pool.query("select n from log group by n having count(*) > 1")
            #expect(twice.isEmpty)
        }
    }

    @Test func aSessionThatDoesNotAnswerIsGivenUp() async throws {
        try await LivePostgres.withDatabase(size: 1) { pool in
            let backend = try await pool.query("select pg_backend_pid() as pid")[0].decode("pid", as: Int32.self)
            kill(backend, SIGSTOP)
            defer { kill(backend, SIGCONT) }
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("select 1", deadline: .milliseconds(50))
            }
            #expect(error?.kind == .timeout)
            let other = try await pool.query("select pg_backend_pid() as pid")[0].decode("pid", as: Int32.self)
            #expect(other != backend)
        }
    }

    @Test func aQueryAfterItsIdleBackendWasTerminatedWorks() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            for _ in 0..<10 {
                let backend = try await pool.query("select pg_backend_pid() as pid")[0].decode("pid", as: Int.self)
                try await observer.execute("select pg_terminate_backend(\(backend), 10000)")  // returns when it is gone
                let other = try await pool.query("select pg_backend_pid() as pid")[0].decode("pid", as: Int.self)
                #expect(other != backend)
            }
            #expect(pool.statistics.open == 1)
        }
    }

    @Test func aQueryUnderWhichTheBackendIsTerminatedFailsAndIsNotRepeated() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            let query = Task { try await pool.query("select pg_sleep(60)") }
            try await eventually(describing: "the query running") {
                try await activeStatements(observer, like: "%pg_sleep%") == 1
            }
            try await observer.execute(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and query like '%pg_sleep%' and pid <> pg_backend_pid()
                """)
            let error = await #expect(throws: PostgresError.self) { try await query.value }
            #expect(error?.kind == .connectionLost)
            #expect(error?.sqlState == "57P01", "\(error as Any)")
            #expect(try await activeStatements(observer, like: "%pg_sleep%") == 0)
            #expect(try await pool.query("select 7 as n")[0].decode("n") == 7)
        }
    }

    @Test func thePoolRecoversFromARestartOfTheServer() async throws {
        let server = try await PostgresServer.start()
        let pool = PostgresPool(url: server.url(database: "postgres"), size: 4, logger: .init(label: "test"))
        func ask() async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { try await pool.execute("select pg_sleep(0.01)") } }
                try await group.waitForAll()
            }
        }
        try await ask()
        try await server.restart()
        try await ask()
        #expect(pool.statistics.open <= 4)
        #expect(pool.statistics.idle == pool.statistics.open)
        await pool.close()
        try await server.stop()
        #expect(!FileManager.default.fileExists(atPath: server.directory))
    }

    @Test func aTransactionLeftOpenDoesNotGoBackIntoThePool() async throws {
        try await LivePostgres.withDatabase(size: 1) { pool in
            try await pool.execute("create table items (id int)")
            try await pool.withConnection { connection in
                try await connection.script("begin; insert into items values (1)")
            }
            let row = try await pool.query(
                "select count(*)::int as count, pg_current_xact_id_if_assigned()::text as xact from items")
            #expect(try row[0].decode("count") == 0)
            #expect(try row[0].decode("xact", as: String?.self) == nil)
        }
    }

    @Test func aClosedPoolRefusesThoseInLineAndLetsTheLentEnd() async throws {
        try await withObservedDatabase(size: 1) { pool, observer in
            let lent = Task { try await pool.query("select pg_sleep(0.3), 7 as n") }
            try await eventually(describing: "the query running") {
                try await activeStatements(observer, like: "%pg_sleep%") == 1
            }
            let inLine = Task { try await pool.query("select 1") }
            try await eventually(describing: "a task in line") { pool.statistics.waiting == 1 }
            await pool.close()
            #expect(pool.statistics == (open: 0, idle: 0, waiting: 0))
            #expect(try await lent.value[0].decode("n") == 7)
            let refused = await #expect(throws: PostgresError.self) { try await inLine.value }
            #expect(refused?.kind == .closed)
            let late = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
            #expect(late?.kind == .closed)
        }
    }
}
