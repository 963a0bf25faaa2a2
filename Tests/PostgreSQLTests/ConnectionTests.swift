import Foundation
import Logging
import PostgreSQL
import TestSupport
import Testing

@Suite struct ConnectionTests {
    @Test func aPipelineAnswersInOrderAndFailsAsAWhole() async throws {
        try await LivePostgres.withDatabase { pool in
            try await pool.execute("create table items (id int primary key)")
            try await pool.withConnection { connection in
                let inserts = (0..<1_000).map { "insert into items values (\($0)) returning id" as SQL }
                let results = try await connection.pipeline(inserts)
                #expect(try results.map { try $0[0].decode("id", as: Int.self) } == Array(0..<1_000))
                let error = await #expect(throws: PostgresError.self) {
                    try await connection.pipeline([
                        "insert into items values (\(5_000))", "insert into items values (\(7))",
                    ])
                }
                #expect(error?.isUniqueViolation == true)
                let count = try await connection.query("select count(*)::int as count from items")
                #expect(try count[0].decode("count") == 1_000)
            }
        }
    }

    /// More than both sockets' buffers hold, in both directions at once: whoever only writes first would wait forever.
    @Test func aPipelineLargerThanAllBuffersDoesNotLock() async throws {
        let text = String(repeating: "x", count: 100_000)
        try await LivePostgres.withDatabase { pool in
            let results = try await pool.withConnection { connection in
                try await connection.pipeline((0..<100).map { "select \(text)::text || \($0)::text as text" })
            }
            #expect(results.count == 100)
            #expect(try results[99][0].decode("text") == text + "99")
        }
    }

    @Test func operationsOnOneConnectionTakeTurns() async throws {
        try await LivePostgres.withDatabase { pool in
            try await pool.withConnection { connection in
                let answers = try await withThrowingTaskGroup(of: (Int, Int).self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            (number, try await connection.query("select \(number)::int as n")[0].decode("n"))
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.count == 50)
                #expect(answers.allSatisfy { $0.0 == $0.1 })
            }
        }
    }

    @Test func aViolationTellsWhichConstraint() async throws {
        try await LivePostgres.withDatabase { pool in
            try await pool.withConnection {
                try await $0.script(
                    """
                    create table owners (id int primary key);
                    create table pets (name text constraint pets_name_unique unique, owner int not null
                        constraint pets_owner_exists references owners);
                    insert into owners values (1);
                    insert into pets values ('rex', 1);
                    """)
            }
            let unique = await #expect(throws: PostgresError.self) {
                try await pool.execute("insert into pets values (\("rex"), \(1))")
            }
            #expect(unique?.kind == .server(sqlState: "23505"))
            #expect(unique?.isUniqueViolation == true)
            #expect(unique?.constraint == "pets_name_unique")
            #expect(unique?.table == "pets")
            #expect(unique.map { "\($0)".contains("rex") } == false)  // binds stay out of what is logged
            let foreign = await #expect(throws: PostgresError.self) {
                try await pool.execute("insert into pets values (\("tom"), \(9))")
            }
            #expect(foreign?.isForeignKeyViolation == true)
            #expect(foreign?.constraint == "pets_owner_exists")
            #expect(try await pool.execute("update pets set name = \("max")") == 1)
        }
    }

    @Test func aScriptThatFailsLeavesTheConnectionUsable() async throws {
        try await LivePostgres.withDatabase { pool in
            try await pool.withConnection { connection in
                let error = await #expect(throws: PostgresError.self) {
                    try await connection.script("create table a (); select nonsense; create table b ();")
                }
                #expect(error?.sqlState == "42703")
                let tables = try await connection.query(
                    "select to_regclass('a')::text as a, to_regclass('b')::text as b")
                #expect(try tables[0].decode("a", as: String?.self) == nil)
                #expect(try tables[0].decode("b", as: String?.self) == nil)
            }
        }
    }

    @Test func aStatementSurvivesAChangeOfItsTable() async throws {
        try await LivePostgres.withDatabase(size: 1) { pool in
            try await pool.execute("create table shape (a int)")
            try await pool.execute("insert into shape values (1)")
            #expect(try await pool.query("select * from shape")[0].columns == ["a"])
            try await pool.execute("alter table shape add column b int default 2")
            #expect(try await pool.query("select * from shape")[0].columns == ["a", "b"])
            try await pool.execute("deallocate all")
            #expect(try await pool.query("select * from shape")[0].columns == ["a", "b"])
        }
    }

    @Test func onlySoManyStatementsStayPrepared() async throws {
        try await LivePostgres.withDatabase(size: 1) { pool in
            for number in 0..<600 { try await pool.execute("select \(raw: "\(number)")") }
            let row = try await pool.query("select count(*)::int as count from pg_prepared_statements")[0]
            #expect((200...260).contains(try row.decode("count", as: Int.self)))
        }
    }

    @Test func aWrongSocketIsNamed() async throws {
        try await withTemporaryDirectory { directory in
            let pool = PostgresPool(url: "postgresql:///martlet?host=\(directory)", logger: .init(label: "test"))
            let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
            #expect(error?.kind == .connectFailed)
            #expect(error?.message.contains("\(directory), port 5432, database 'martlet'") == true)
            #expect(error?.message.contains("No such file or directory") == true)
            #expect(pool.statistics.open == 0)
        }
    }

    @Test(arguments: [
        ("postgresql://martlet:hunter2@127.0.0.1:1/db", "127.0.0.1, port 1"),
        ("postgresql://martlet:hunter2@localhost:1/db", "Connection refused"),
        ("postgresql://martlet:hunter2@no-such-host.invalid/db", "'no-such-host.invalid'"),
        ("postgresql://martlet:hunter2@[::1/db", "cannot be read"),
    ])
    func aServerThatCannotBeHadIsNamedWithoutThePassword(url: String, text: String) async {
        let pool = PostgresPool(url: url, logger: .init(label: "test"))
        let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
        #expect(error?.kind == .connectFailed)
        #expect(error.map { "\($0)".contains(text) } == true, "\(error as Any)")
        #expect(error.map { "\($0)".contains("hunter2") } == false)
    }

    @Test func aRefusedConnectKeepsTheServersReason() async throws {
        try await LivePostgres.withDatabaseURL { url in
            let wrong = url.replacing("///test", with: "///no_such")
            let pool = PostgresPool(url: wrong, logger: .init(label: "test"))
            let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
            #expect(error?.sqlState == "3D000")
            #expect(error?.message.hasSuffix("does not exist") == true, "\(error as Any)")
        }
    }

    @Test func connectingLeaksNoDescriptor() async throws {
        func descriptors() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
        try await LivePostgres.withDatabase(size: 1) { observer in
            let url = try await observer.query("show unix_socket_directories")[0].decode(at: 0, as: String.self)
            let database = try await observer.query("select current_database()")[0].decode(at: 0, as: String.self)
            let before = try descriptors()
            for _ in 0..<100 {
                let pool = PostgresPool(
                    url: "postgresql:///\(database)?host=\(url)&user=postgres", logger: .init(label: "test"))
                try await pool.execute("select 1")
                await pool.close()
                let refused = PostgresPool(
                    url: "postgresql:///none?host=\(url)&user=postgres", logger: .init(label: "test"))
                await #expect(throws: PostgresError.self) { try await refused.execute("select 1") }
            }
            // Other tests run beside this one: their descriptors come and go, ours would stay.
            try await eventually(
                describing: "as many descriptors as the \(before) at first", read: descriptors,
                until: { $0 <= before + 20 })
            try await eventually(
                describing: "no session but the observer's",
                read: {
                    try await observer.query(
                        "select count(*)::int from pg_stat_activity where datname = current_database()")[0]
                        .decode(at: 0, as: Int.self)
                }, until: { $0 == 1 })
        }
    }
}
