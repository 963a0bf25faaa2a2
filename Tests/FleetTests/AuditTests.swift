import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct AuditTests {
        @Test func aLineSaysHowLongItTook() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let made = try await bench.create(for: caller)
                func age(_ seconds: Double) async throws {
                    try await bench.pool.execute(
                        "UPDATE dev_environments SET state_changed_at = now() - make_interval(secs => \(seconds))")
                }
                try await age(12.5)
                var vm = try await bench.move(made, .running)
                try await age(3_600)  // what it did meanwhile is nobody's duration
                vm = try await bench.fleet.environments.requestStop(vm.id, actor: AuditActor(caller))
                try await age(2)
                vm = try #require(
                    try await bench.fleet.environments.move(
                        vm.id, from: .stopping, generation: vm.generation, to: .error,
                        change: EnvironmentChange(errorMessage: "no"), actor: .worker("w"), action: "stop"))
                let lines = try await bench.fleet.audit.list(environment: made.id).reversed()
                #expect(lines.map(\.action) == ["create", "test", "stop", "stop"])
                #expect(lines.map(\.errorCode) == [nil, nil, nil, "vm_failed"])
                let durations = lines.map(\.durationMs)
                #expect(durations[0] == nil && durations[2] == nil)
                #expect((12_500..<17_500).contains(durations[1] ?? 0))
                #expect((2_000..<7_000).contains(durations[3] ?? 0))
            }
        }

        @Test func whatIsRefusedIsALineToo() async throws {
            try await withFleet { bench in
                let owner = try await bench.caller()
                let stranger = try await bench.caller()
                let environments = bench.fleet.environments
                let made = try await bench.create(for: owner)
                let name = made.slug.rawValue
                #expect(try await environments.authorized(name, for: owner, to: "stop", requestID: "r0") == made)
                let error = await refusal {
                    try await environments.authorized(name, for: stranger, to: "stop", requestID: "r1")
                }
                #expect(error?.code == .environmentNotFound)
                for name in ["env_00000000", "\(EnvironmentID())", "nonsense"] {
                    let error = await refusal {
                        try await environments.authorized(name, for: stranger, to: "stop", requestID: "r2")
                    }
                    #expect(error?.code == .environmentNotFound)
                }
                let admin = try await bench.caller(role: .admin)
                #expect(try await environments.authorized(made.id, for: admin, to: "stop", requestID: nil) == made)
                await #expect(throws: ServiceError.self) {
                    try await environments.requestStop(made.id, actor: AuditActor(owner), requestID: "r3")
                }
                _ = await refusal { try await bench.create(for: owner) }
                var filter = AuditFilter()
                filter.user = owner.userID
                filter.hasError = true
                let lines = try await bench.fleet.audit.search(filter).reversed()
                #expect(lines.map(\.errorCode) == ["forbidden", "illegal_transition", "quota_exceeded"])
                #expect(lines.map(\.action) == ["stop", "stop", "create"])
                #expect(lines.map(\.environmentID) == [made.id, made.id, nil])
                #expect(lines.map(\.requestID) == ["r1", "r3", "r"])
                #expect(lines.map(\.actor) == [AuditActor(stranger), AuditActor(owner), AuditActor(owner)])
                #expect(try await environments.find(made.id) == made, "nothing else came of it")
            }
        }

        @Test func aSearchFindsWhatAllItsConditionsHold() async throws {
            try await withFleet { bench in
                let (one, two) = (try await bench.caller(), try await bench.caller())
                let audit = bench.fleet.audit
                try await bench.pool.execute("DELETE FROM environment_audit_log")
                try await audit.record("vm.start", actor: AuditActor(one), user: one.userID, requestID: "a")
                try await audit.record("vm.stop", actor: .worker("w1"), user: one.userID, errorCode: "vm_failed")
                try await audit.record("vm%", actor: .worker("w2"), user: two.userID, requestID: "a")
                try await audit.record("user.tier", actor: .system("up"), user: two.userID, duration: .seconds(2))
                func found(_ change: (inout AuditFilter) -> Void) async throws -> [String] {
                    var filter = AuditFilter()
                    change(&filter)
                    return try await audit.search(filter).map(\.action)
                }
                #expect(try await found { _ in } == ["user.tier", "vm%", "vm.stop", "vm.start"])
                #expect(try await found { $0.user = one.userID } == ["vm.stop", "vm.start"])
                #expect(try await found { $0.action = "vm." } == ["vm.stop", "vm.start"])
                #expect(try await found { $0.action = "vm%" } == ["vm%"], "a prefix, not a pattern")
                #expect(try await found { $0.action = "vm\0" } == [])
                #expect(try await found { $0.requestID = "a" } == ["vm%", "vm.start"])
                #expect(try await found { $0.actorKind = .worker } == ["vm%", "vm.stop"])
                #expect(try await found { $0.actorID = one.userID.description } == ["vm.start"])
                #expect(try await found { $0.errorCode = "vm_failed" } == ["vm.stop"])
                #expect(try await found { $0.hasError = true } == ["vm.stop"])
                #expect(
                    try await found {
                        $0.hasError = false
                        $0.requestID = "a"
                        $0.user = two.userID
                    } == ["vm%"])
                try await bench.pool.execute(
                    "UPDATE environment_audit_log SET created_at = '2026-01-01 12:00Z' WHERE action = 'vm.stop'")
                let noon = try #require(try? Date("2026-01-01T12:00:00Z", strategy: .iso8601))
                #expect(try await found { $0.until = noon } == [])
                #expect(try await found { $0.until = noon.addingTimeInterval(1) } == ["vm.stop"])
                #expect(
                    try await found {
                        $0.since = noon
                        $0.until = noon.addingTimeInterval(1)
                    } == ["vm.stop"])
                #expect(try await found { $0.since = noon.addingTimeInterval(1) }.count == 3)
                #expect(try await audit.search(limit: 1).first?.durationMs == 2_000)
            }
        }

        @Test func pagesHaveEveryLineOnce() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                for number in 0..<7 {
                    try await bench.fleet.audit.record("n\(number)", actor: .system("test"), user: caller.userID)
                }
                var filter = AuditFilter()
                filter.action = "n"
                var seen: [AuditEntry] = []
                for _ in 0..<3 {
                    seen += try await bench.fleet.audit.search(filter, limit: 3, before: seen.last?.id)
                }
                #expect(seen.map(\.action) == ["n6", "n5", "n4", "n3", "n2", "n1", "n0"])
            }
        }

        /// With an index for each way to search, a page of a large log costs as much as one of a small.
        @Test func searchesUseTheirIndexes() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                try await bench.pool.execute(
                    """
                    INSERT INTO environment_audit_log (actor_kind, actor_id, action, request_id, error_code, created_at)
                    SELECT 'worker', 'w' || n % 500, 'a' || n % 500, 'r' || n, 'e' || n % 500,
                        now() - make_interval(secs => n)
                    FROM generate_series(1, 20000) AS n
                    """)
                try await bench.pool.execute("ANALYZE environment_audit_log")
                let filters: [(String, (inout AuditFilter) -> Void)] = [
                    ("environment_audit_log_actor", { $0.actorID = "w7" }),
                    ("environment_audit_log_request", { $0.requestID = "r7" }),
                    ("environment_audit_log_error", { $0.errorCode = "e7" }),
                    ("environment_audit_log_action", { $0.action = "a77" }),
                    ("environment_audit_log_user", { $0.user = caller.userID }),
                ]
                for (index, change) in filters {
                    var filter = AuditFilter()
                    change(&filter)
                    let plan = try await bench.pool.query(
                        """
                        EXPLAIN SELECT id FROM environment_audit_log WHERE true \(filter.conditions)
                        ORDER BY id DESC LIMIT 10
                        """
                    ).map { try $0.decode(at: 0, as: String.self) }.joined(separator: "\n")
                    #expect(plan.contains(index), "\(plan)")
                }
            }
        }
    }
}
