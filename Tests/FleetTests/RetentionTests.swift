import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct RetentionTests {
        private static func days(_ count: Int) -> Duration { .seconds(count * 86_400) }

        @Test func onlyOldLinesOfTheAuditLogArePrunedTheOldestFirst() async throws {
            try await withFleet { bench in
                let audit = bench.fleet.audit
                try await bench.pool.execute("DELETE FROM environment_audit_log")
                for age in [399, 401, 403, 402] {
                    try await audit.record("old.\(age)", actor: .system("test"))
                    try await bench.pool.execute(
                        """
                        UPDATE environment_audit_log SET created_at = now() - make_interval(days => \(age))
                        WHERE action = \("old.\(age)")
                        """)
                }
                func prune(_ limit: Int) async throws -> Int {
                    try await audit.prune(olderThan: Self.days(400), limit: limit)
                }
                #expect(try await prune(2) == 2)
                #expect(try await audit.search().map(\.action) == ["old.401", "old.399"])
                #expect(try await prune(2) == 1)
                #expect(try await prune(2) == 0)
                #expect(try await audit.search().map(\.action) == ["old.399"])
            }
        }

        /// A VM that has run since before is not forgotten to run, and the month's hours stay what they are.
        @Test func ofTheRunsOfVMsThoseThatEndedLongAgoArePruned() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.move(try await bench.create(for: caller), .running)
                let other = try await bench.create(for: try await bench.caller())
                try await bench.pool.execute(
                    "UPDATE environment_runs SET started_at = now() - interval '500 days' WHERE environment_id = \(vm.id)"
                )
                for (began, ended) in [(500, 401), (500, 399), (402, 401)] {
                    try await bench.pool.execute(
                        """
                        INSERT INTO environment_runs (environment_id, user_id, started_at, stopped_at)
                        SELECT \(other.id), \(other.userID), now() - make_interval(days => \(began)),
                            now() - make_interval(days => \(ended))
                        """)
                }
                let before = try await bench.fleet.quotas.usage(of: caller.userID).runtimeSeconds
                #expect(try await bench.fleet.quotas.pruneRuns(olderThan: Self.days(400), limit: 100) == 2)
                #expect(try await bench.count("SELECT count(*) FROM environment_runs WHERE stopped_at IS NULL") == 1)
                #expect(try await bench.count("SELECT count(*) FROM environment_runs") == 2)
                #expect(try await bench.fleet.quotas.usage(of: caller.userID).runtimeSeconds >= before)
            }
        }

        @Test func whatSomebodyHoldsIsPassedOverAndNotWaitedFor() async throws {
            try await withFleet { bench in
                let audit = bench.fleet.audit
                try await bench.pool.execute("DELETE FROM environment_audit_log")
                for action in ["held", "free"] { try await audit.record(action, actor: .system("test")) }
                try await bench.pool.execute("UPDATE environment_audit_log SET created_at = now() - interval '2 days'")
                try await bench.pool.withTransaction { connection in
                    _ = try await connection.query(
                        "SELECT id FROM environment_audit_log WHERE action = 'held' FOR UPDATE")
                    // One that waited would wait for this very transaction, until PostgreSQL gives the statement up.
                    #expect(try await audit.prune(olderThan: Self.days(1), limit: 100) == 1)
                }
                #expect(try await audit.search().map(\.action) == ["held"])
            }
        }
    }
}
