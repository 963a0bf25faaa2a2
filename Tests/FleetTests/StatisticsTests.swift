import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct StatisticsTests {
        /// Inserts a run of the past.
        @discardableResult
        static func execution(
            _ bench: Bench, _ vm: Environment, _ state: ExecutionState, began: Date, milliseconds: Double? = nil
        ) async throws -> ExecutionID {
            let record = ExecutionRecord(
                id: ExecutionID(), userID: vm.userID, environmentID: vm.id, gatewayID: "g", requestID: nil,
                language: "python", code: [])
            try await bench.fleet.executions.begin(record)
            if state != .running {
                var outcome = ExecutionOutcome(state: state)
                outcome.durationMs = milliseconds
                try await bench.fleet.executions.finish(record.id, outcome, actor: .system("test"))
            }
            try await bench.pool.execute(
                "UPDATE environment_executions SET started_at = \(began) WHERE id = \(record.id)")
            return record.id
        }

        @Test func executionsAreCountedByTheMinuteAndByFate() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let noon = try #require(try? Date("2026-01-01T12:00:00Z", strategy: .iso8601))
                for (seconds, state) in [
                    (-1, ExecutionState.exited), (0, .exited), (59, .failed), (60, .lost), (61, .running),
                    (179, .timeout),
                ] {
                    try await Self.execution(
                        bench, vm, state, began: noon.addingTimeInterval(Double(seconds)),
                        milliseconds: state == .exited ? Double(100 - 50 * seconds) : nil)
                }
                let executions = bench.fleet.executions
                let minutes = try await executions.perMinute(4, now: noon.addingTimeInterval(200))
                #expect(minutes.map(\.minute) == (0..<4).map { noon.addingTimeInterval(Double($0) * 60) })
                #expect(minutes.map(\.count) == [2, 2, 1, 0] && minutes.map(\.failed) == [1, 1, 0, 0])
                let stats = try await executions.stats(since: noon)
                #expect(stats.byState == [.exited: 1, .failed: 1, .lost: 1, .running: 1, .timeout: 1])
                #expect(stats.total == 5 && stats.medianMs == 100)
                let all = try await executions.stats(since: noon.addingTimeInterval(-1))
                #expect(all.medianMs == 125 && all.percentile95Ms == 147.5)
                #expect(try await executions.stats(since: .now).total == 0)
            }
        }

        @Test func anEnvironmentsExecutionsAreItsOwn() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .pro)
                let vm = try await bench.vm(.running, of: caller)
                let other = try await bench.move(try await bench.create(for: caller), .running)
                var own: [ExecutionID] = []
                for age in 0..<5 {
                    own.append(
                        try await Self.execution(bench, vm, .exited, began: .now.addingTimeInterval(Double(-age))))
                }
                let foreign = try await Self.execution(bench, other, .exited, began: .now)
                let executions = bench.fleet.executions
                let first = try await executions.list(environment: vm.id, limit: 3)
                let rest = try await executions.list(environment: vm.id, limit: 3, before: first.last?.id)
                #expect((first + rest).map(\.id) == own)
                #expect(try await executions.list(environment: other.id).map(\.id) == [foreign])
                #expect(try await executions.list(environment: vm.id, before: foreign).isEmpty)
                #expect(try await executions.find(foreign)?.summary.environmentID == other.id)
            }
        }

        @Test func onlyOldHistoryIsPrunedAndInBatches() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let day = 86_400.0
                for _ in 0..<3 {
                    try await Self.execution(bench, vm, .exited, began: .now.addingTimeInterval(-91 * day))
                }
                let running = try await Self.execution(bench, vm, .running, began: .now.addingTimeInterval(-91 * day))
                let young = try await Self.execution(bench, vm, .exited, began: .now.addingTimeInterval(-89 * day))
                let executions = bench.fleet.executions
                func prune(_ days: Int) async throws -> Int {
                    try await executions.prune(olderThan: .seconds(days * 86_400), limit: 2)
                }
                #expect(try await prune(90) == 2)
                #expect(try await prune(90) == 1)
                #expect(try await prune(90) == 0)
                #expect(try await Set(executions.list(environment: vm.id).map(\.id)) == [running, young])
                #expect(try await prune(88) == 1)
            }
        }

        @Test func theWholeIsCounted() async throws {
            try await withFleet { bench in
                let free = try await bench.caller()
                let pro = try await bench.caller(tier: .pro)
                try await bench.fleet.users.setSuspended(
                    true, try await bench.caller().userID, by: .system("test"))
                let vm = try await bench.vm(.running, of: free)
                _ = try await HostTests.host(bench, "h1", vcpus: 8, memoryMb: 8_192)
                _ = try await HostTests.host(bench, "h2", vcpus: 8, memoryMb: 9_000)
                try await bench.fleet.hosts.cordon("h2", by: .system("test"))
                try await bench.create(for: pro, provider: "firecracker")
                let gone = try await bench.create(for: pro)
                try await bench.move(gone, .error, .destroying, .destroyed)
                try await Self.execution(bench, vm, .exited, began: .now)
                try await Self.execution(bench, vm, .failed, began: .now.addingTimeInterval(-3_700))
                let stats = try await bench.fleet.stats()
                #expect(stats.environmentsByState == [.running: 1, .provisioning: 1] && stats.environments == 2)
                #expect(stats.environmentsByProvider == ["local": 1, "firecracker": 1])
                #expect(stats.environmentsByTier == [.free: 1, .pro: 1])
                #expect(stats.users == 3 && stats.suspendedUsers == 1 && stats.usersByTier == [.free: 2, .pro: 1])
                #expect(stats.executionsLastHour.byState == [.exited: 1])
                #expect(stats.hostsByState == [.ready: 1, .cordoned: 1])
                #expect(stats.hostCapacity.memoryMb == 17_192 && stats.hostUsed.memoryMb == 8_192)
                #expect(stats.hostUsed.vcpus == 4)
            }
        }

        @Test func usersAreFoundAndChanged() async throws {
            try await withFleet { bench in
                let users = bench.fleet.users
                let ann = try await users.create(email: "ann@x.org", name: "Ann", by: .system("test"))
                let bob = try await users.create(name: "bob", role: .admin, tier: .pro, by: .system("test"))
                func found(_ change: (inout UserFilter) -> Void) async throws -> Set<String> {
                    var filter = UserFilter()
                    change(&filter)
                    return Set(try await users.search(filter).map(\.name))
                }
                #expect(try await found { $0.prefix = "AN" } == ["Ann"])
                #expect(try await found { $0.prefix = "ann@" } == ["Ann"])
                #expect(try await found { $0.prefix = "%" } == [])
                #expect(try await found { $0.role = .admin } == ["bob"])
                #expect(try await found { $0.tier = .free } == ["Ann"])
                #expect(try await found { $0.isSuspended = true } == [])
                var update = UserUpdate()
                update.name = "Anna"
                update.email = .some(nil)
                update.role = .admin
                let changed = try await users.update(ann.id, update, by: .system("test"), requestID: "r")
                #expect(changed.name == "Anna" && changed.email == nil && changed.role == .admin)
                update = UserUpdate()
                update.name = "BOB"
                #expect(
                    await refusal { try await users.update(ann.id, update, by: .system("test")) }?.code
                        == .alreadyExists)
                update.name = ""
                #expect(
                    await refusal { try await users.update(bob.id, update, by: .system("test")) }?.code
                        == .invalidRequest)
                update.name = "x"
                #expect(
                    await refusal { try await users.update(UserID(), update, by: .system("test")) }?.code
                        == .userNotFound)
                let line = try await bench.fleet.audit.list(user: ann.id).first
                #expect(
                    line?.action == "user.update" && line?.detail == ["name": "Anna", "email": "", "role": "admin"])
            }
        }
    }

    @Suite struct MigrationTests {
        /// A database of the first release, with a VM that runs while it is migrated.
        @Test func aRunUnderWayIsCountedFromItsBeginning() async throws {
            try await LivePostgres.withDatabase { pool in
                _ = try await Migrator(pool: pool, migrations: Array(Fleet.migrations.prefix(4))).run()
                let (user, vm) = (UserID(), EnvironmentID())
                try await pool.execute(
                    "INSERT INTO users (id, name, role, tier) VALUES (\(user), 'ann', 'user', 'free')")
                try await pool.execute(
                    """
                    INSERT INTO dev_environments (id, user_id, kind, slug, name, state, generation, tier, vcpus,
                        memory_mb, disk_mb, processes, network, provider, running_since)
                    VALUES (\(vm), \(user), 'user_vm', 'env_00000000', 'vm', 'running', 2, 'free', 2, 4096, 10240, 64,
                        false, 'local', '2026-01-01 00:00Z')
                    """)
                _ = try await Migrator(pool: pool, migrations: Fleet.migrations).run()
                let runs = try await pool.query("SELECT started_at = '2026-01-01 00:00Z' AS same FROM environment_runs")
                #expect(try runs.map { try $0.decode("same", as: Bool.self) } == [true])
            }
        }
    }
}
