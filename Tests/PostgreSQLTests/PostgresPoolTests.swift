import PostgreSQL
import TestSupport
import Testing

@Suite struct PostgresPoolTests {
    @Test func queryReturnsRows() async throws {
        try await LivePostgres.withDatabase { pool in
            let rows = try await pool.query("select \(41)::int + 1 as answer")
            #expect(try rows.map { try $0.decode("answer", as: Int.self) } == [42])
        }
    }
}
