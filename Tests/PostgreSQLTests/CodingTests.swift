import Foundation
import PostgreSQL
import TestSupport
import Testing

enum Colour: String, PostgresEncodable, PostgresDecodable { case red, green }

struct Settings: Codable, Equatable {
    var name: String
    var tags: [String]
    var since: Date?
}

@Suite struct CodingTests {
    @Test func valuesOfEveryTypeComeBackAsTheyWent() async throws {
        let uuid = UUID()
        let settings = Settings(name: "a \"b\" \\ \u{1F426}", tags: ["x"], since: Date(timeIntervalSince1970: 1_000))
        let texts = ["", "NULL", "a,b", "{\"}", "\\", "ü \u{1F426}", "two\nlines"]
        try await LivePostgres.withDatabase { pool in
            let row = try await pool.query(
                """
                select \("it's \u{1F426}\n")::text as string, \(Int.min)::bigint as int, \(Int32.max)::integer as int32,
                    \(Int64.max)::bigint as int64, \(true)::boolean as yes, \(false)::boolean as no,
                    \(0.1 + 0.2)::double precision as double, \(-Double.infinity)::double precision as infinite,
                    \(uuid)::uuid as uuid, \(texts)::text[] as texts, \([String]())::text[] as none,
                    \([3, -4])::bigint[] as ints, \(uuid == uuid ? [uuid] : [])::uuid[] as uuids,
                    \(Colour.green)::text as colour, \(PostgresJSON(settings))::jsonb as settings,
                    \("")::text as empty
                """
            )[0]
            #expect(try row.decode("string") == "it's \u{1F426}\n")
            #expect(try row.decode("int") == Int.min)
            #expect(try row.decode("int32") == Int32.max)
            #expect(try row.decode("int64") == Int64.max)
            #expect(try row.decode("yes") == true)
            #expect(try row.decode("no") == false)
            #expect(try row.decode("double") == 0.1 + 0.2)
            #expect(try row.decode("infinite") == -Double.infinity)
            #expect(try row.decode("uuid") == uuid)
            #expect(try row.decode("texts") == texts)
            #expect(try row.decode("none") == [String]())
            #expect(try row.decode("ints") == [3, -4])
            #expect(try row.decode("uuids") == [uuid])
            #expect(try row.decode("colour") == Colour.green)
            #expect(try row.decode("settings", as: PostgresJSON<Settings>.self).value == settings)
            #expect(try row.decode("empty", as: String?.self) == "")
        }
    }

    @Test func nullIsNilOfEveryType() async throws {
        try await LivePostgres.withDatabase { pool in
            let row = try await pool.query(
                """
                select \(String?.none)::text as a, \(Int?.none)::int as b, \(Date?.none)::timestamptz as c,
                    \([UInt8]?.none)::bytea as d, \([String]?.none)::text[] as e, \(Colour?.none)::text as f
                """
            )[0]
            #expect(try row.decode("a", as: String?.self) == nil)
            #expect(try row.decode("b", as: Int?.self) == nil)
            #expect(try row.decode("c", as: Date?.self) == nil)
            #expect(try row.decode("d", as: [UInt8]?.self) == nil)
            #expect(try row.decode("e", as: [String]?.self) == nil)
            #expect(try row.decode("f", as: Colour?.self) == nil)
        }
    }

    @Test func bytesOfAnyValueAndNumberSurvive() async throws {
        let all = (0...255).map { UInt8($0) }
        let million = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try await LivePostgres.withDatabase { pool in
            for bytes in [[], all, million] {
                let row = try await pool.query("select \(bytes)::bytea as bytes, length(\(bytes)::bytea) as length")[0]
                #expect(try row.decode("bytes") == bytes)
                #expect(try row.decode("length") == bytes.count)
            }
        }
    }

    /// Each checked against the server's own arithmetic, so that writing and reading cannot be wrong together.
    @Test(arguments: [0, 1.5, -0.000_001, 951_782_400, 4_107_542_399.999_999, -62_135_596_800, 1_700_000_000.123_456])
    func datesMeanTheSameToTheServer(seconds: Double) async throws {
        try await LivePostgres.withDatabase { pool in
            let date = Date(timeIntervalSince1970: seconds)
            let row = try await pool.query(
                """
                select \(date)::timestamptz as date, extract(epoch from \(date)::timestamptz)::float8 as epoch,
                    timestamptz '1970-01-01 00:00+00' + \(seconds)::float8 * interval '1 second' as made,
                    (date '2000-02-29')::date as day
                """
            )[0]
            #expect(abs(try row.decode("epoch", as: Double.self) - seconds) < 0.000_001)
            #expect(abs(try row.decode("date", as: Date.self).timeIntervalSince(date)) < 0.000_001)
            #expect(abs(try row.decode("made", as: Date.self).timeIntervalSince(date)) < 0.000_001)
            #expect(try row.decode("day") == Date(timeIntervalSince1970: 951_782_400))
        }
    }

    @Test func timestampsOfAnotherZoneAreRead() async throws {
        try await LivePostgres.withDatabase { pool in
            try await pool.withTransaction { connection in
                try await connection.execute("set local timezone = 'Asia/Kathmandu'")  // +05:45
                let row = try await connection.query("select timestamptz '2024-05-01 12:00:00+00' as date")[0]
                #expect(try row.decode("date") == Date(timeIntervalSince1970: 1_714_564_800))
            }
        }
    }

    @Test func whatDoesNotFitIsRefusedWithTheColumnsName() async throws {
        try await LivePostgres.withDatabase { pool in
            let row = try await pool.query("select 'secret' as word, null as nothing, 1 as twice, 2 as twice")[0]
            for (column, text) in [("word", "'word'"), ("nothing", "NULL"), ("twice", "Several"), ("none", "'none'")] {
                let error = #expect(throws: PostgresError.self) { try row.decode(column, as: Int.self) }
                #expect(error?.kind == .decode)
                #expect(error?.message.contains(text) == true)
                #expect(error?.message.contains("secret") == false)
            }
        }
    }

    @Test func textWithNULIsRefusedBeforeItIsSent() async throws {
        try await LivePostgres.withDatabase { pool in
            let error = await #expect(throws: PostgresError.self) { try await pool.query("select \("a\0b")::text") }
            #expect(error?.kind == .encode)
            #expect(error?.message.contains("$1") == true)
            #expect(pool.statistics.open == 0 || pool.statistics.idle == pool.statistics.open)
        }
    }

    @Test func fragmentsKeepTheirBindsInOrder() async throws {
        let filter: SQL = "n % \(3) = \(1)"
        try await LivePostgres.withDatabase { pool in
            let rows = try await pool.query(
                "select n from generate_series(1, \(10)) as s(n) where \(filter) and n > \(4) order by n")
            #expect(try rows.map { try $0.decode(at: 0, as: Int.self) } == [7, 10])
            let odd = SQL.identifier("odd \"name\"")
            let row = try await pool.query("select 1 as \(odd)")[0]
            #expect(row.columns == ["odd \"name\""])
        }
    }

    @Test func tenThousandRowsArriveWhole() async throws {
        try await LivePostgres.withDatabase { pool in
            let rows = try await pool.query(
                "select n, repeat('x', n % 100) as text from generate_series(1, 10000) as s(n)")
            #expect(rows.count == 10_000)
            for (index, row) in rows.enumerated() {
                #expect(try row.decode("n") == index + 1)
                #expect(try row.decode("text", as: String.self).count == (index + 1) % 100)
            }
        }
    }
}
