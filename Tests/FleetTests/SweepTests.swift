import Foundation
import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct SweepTests {
        /// Has the environment been unused for so long.
        static func idle(_ bench: Bench, _ environment: Environment, minutes: Double) async throws {
            try await bench.pool.execute(
                """
                UPDATE dev_environments SET last_activity_at = now() - make_interval(secs => \(minutes * 60))
                WHERE id = \(environment.id)
                """)
        }

        @Test func theIdleOfTheFreeTierAreFoundAfterAnHour() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let free = try await bench.caller()
                let pro = try await bench.caller(tier: .pro)
                let vm = try await bench.vm(.running, of: free)
                let other = try await bench.vm(.running, of: pro)
                let asleep = try await bench.vm(.stopped, of: try await bench.caller())
                for one in [vm, other, asleep] { try await Self.idle(bench, one, minutes: 59.9) }
                #expect(try await environments.idleCandidates().isEmpty)
                #expect(try await environments.idleCandidates(now: .now.addingTimeInterval(7)).map(\.id) == [vm.id])
                for one in [vm, other, asleep] { try await Self.idle(bench, one, minutes: 60.1) }
                #expect(try await environments.idleCandidates().map(\.id) == [vm.id])
                // The tier that counts is the one the owner has now.
                try await bench.fleet.users.setTier(.free, of: pro.userID, by: .system("test"))
                try await bench.fleet.users.setTier(.pro, of: free.userID, by: .system("test"))
                #expect(try await environments.idleCandidates().map(\.id) == [other.id])
            }
        }

        @Test func whatIsInUseIsNotIdleAndNotStopped() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let record = ExecutionRecord(
                    id: ExecutionID(), userID: vm.userID, environmentID: vm.id, gatewayID: "g", requestID: nil,
                    language: "python", code: [])
                try await bench.fleet.executions.begin(record)
                try await Self.idle(bench, vm, minutes: 300)
                #expect(try await environments.idleCandidates().isEmpty, "something runs in it")
                #expect(try await environments.wakeReason(of: vm.id).runningExecutions == 1)
                try await bench.fleet.executions.finish(
                    record.id, ExecutionOutcome(state: .exited), actor: AuditActor(caller))
                let found = try #require(try await environments.idleCandidates().first)
                // Used between the look and the stop.
                await (try bench.another()).environments.touchActivity(vm.id)
                #expect(try await environments.stopIdle(found, by: .worker("w")) == nil)
                #expect(try await environments.find(vm.id)?.state == .running)
                try await Self.idle(bench, vm, minutes: 61)
                #expect(try await environments.stopIdle(found, by: .worker("w"))?.state == .stopping)
                #expect(try await environments.stopIdle(found, by: .worker("w")) == nil)
                #expect(try await bench.auditLines(vm.id, action: "idle_stop") == 1)
                let job = "stop-\(vm.id)-\(vm.generation + 1)"
                #expect(try await bench.fleet.controlQueue.state(of: job) == .waiting)
            }
        }

        @Test func whyItIsAwakeIsSaid() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let caller = try await bench.caller()
                let made = try await bench.create(for: caller) { $0.durationHours = 1 }
                #expect(try await environments.wakeReason(of: made.id).idleStopAt == nil, "it does not run")
                let vm = try await bench.move(made, .running)
                let reason = try await environments.wakeReason(of: vm.id)
                let last = try #require(reason.lastActivityAt)
                #expect(reason.idleStopAt == last.addingTimeInterval(3_600) && reason.expiresAt == vm.expiresAt)
                #expect(reason.runningExecutions == 0 && reason.openSessions == 0)
                try await bench.fleet.sessions.withHold(on: vm.id, kind: "terminal") {
                    let reason = try await environments.wakeReason(of: vm.id)
                    #expect(reason.openSessions == 1 && reason.idleStopAt == nil)
                }
                try await bench.fleet.users.setTier(.unlimited, of: caller.userID, by: .system("test"))
                #expect(try await environments.wakeReason(of: vm.id).idleStopAt == nil, "it may run for ever")
                #expect(
                    await refusal { try await environments.wakeReason(of: EnvironmentID()) }?.code
                        == .environmentNotFound)
            }
        }

        @Test func whatHasExpiredIsFoundWhenItCanBeDestroyed() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let caller = try await bench.caller(tier: .pro)
                let first = try await bench.create(for: caller) { $0.durationHours = 1 }
                let second = try await bench.create(for: caller) { $0.durationHours = 2 }
                let eternal = try await bench.create(for: caller)
                #expect(try await environments.expired().isEmpty)
                let late = Date.now.addingTimeInterval(3 * 3_600)
                #expect(try await environments.expired(now: late).isEmpty, "they are still being made")
                for one in [first, second, eternal] { try await bench.move(one, .running) }
                #expect(try await environments.expired(now: .now.addingTimeInterval(3_590)).isEmpty)
                #expect(try await environments.expired(now: .now.addingTimeInterval(3_610)).map(\.id) == [first.id])
                #expect(try await environments.expired(now: late).map(\.id) == [first.id, second.id])
                #expect(try await environments.expired(now: late, limit: 1).map(\.id) == [first.id])
                try await environments.requestDestroy(first.id, actor: .system("sweep"))
                #expect(try await environments.expired(now: late).map(\.id) == [second.id])
            }
        }

        @Test(arguments: [EnvironmentState.provisioning, .starting, .stopping, .destroying])
        func whatIsStuckIsDestroyedByForce(state: EnvironmentState) async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let caller = try await bench.caller()
                let made = try await bench.create(for: caller)
                try await bench.pool.execute("UPDATE dev_environments SET state = \(state) WHERE id = \(made.id)")
                if state != .destroying {
                    let plain = await refusal {
                        try await environments.requestDestroy(made.id, actor: AuditActor(caller))
                    }
                    #expect(plain?.code == .illegalTransition)
                }
                let own = await refusal {
                    try await environments.requestDestroy(made.id, actor: AuditActor(caller), force: true)
                }
                #expect(own?.code == .forbidden)
                let admin = AuditActor(try await bench.caller(role: .admin))
                let gone = try await environments.requestDestroy(made.id, actor: admin, requestID: "r2", force: true)
                #expect(gone.state == .destroying && gone.generation == made.generation + 2)
                let job = "destroy-\(made.id)-\(gone.generation)"
                #expect(try await bench.fleet.controlQueue.state(of: job) == .waiting)
                let lines = try await bench.fleet.audit.list(environment: made.id)
                let line = try #require(lines.first { $0.action == "give_up" })
                #expect(line.fromState == state && line.toState == .error && line.actor == admin)
                #expect(lines.contains { $0.errorCode == "forbidden" && $0.userID == caller.userID })
                try await bench.move(made, .destroyed)
                #expect(try await environments.requestDestroy(made.id, actor: admin, force: true).state == .destroyed)
            }
        }

        @Test func aSearchFindsEnvironmentsOfEverybody() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let (one, two) = (try await bench.caller(tier: .pro), try await bench.caller(tier: .pro))
                let web = try await bench.create("Web-1", for: one)
                let work = try await bench.create("work%", for: one, provider: "docker")
                let vm = try await bench.vm(.running, of: two)
                let old = try await bench.create("old", for: two)
                try await bench.move(old, .error, .destroying, .destroyed)
                try await Self.idle(bench, vm, minutes: 10)
                func found(_ change: (inout EnvironmentFilter) -> Void) async throws -> [EnvironmentID] {
                    var filter = EnvironmentFilter()
                    change(&filter)
                    return try await environments.search(filter).map(\.id)
                }
                #expect(try await found { _ in } == [vm.id, work.id, web.id], "newest first, none that is gone")
                #expect(try await found { $0.includesDestroyed = true }.first == old.id)
                #expect(try await found { $0.states = [.destroyed] } == [old.id])
                #expect(try await found { $0.states = [.provisioning, .running] }.count == 3)
                #expect(try await found { $0.states = [] } == [])
                #expect(try await found { $0.provider = "docker" } == [work.id])
                #expect(try await found { $0.owner = two.userID } == [vm.id])
                #expect(try await found { $0.kind = .userVM } == [vm.id])
                #expect(try await found { $0.prefix = "w" } == [work.id, web.id])
                #expect(try await found { $0.prefix = "WORK%" } == [work.id])
                #expect(try await found { $0.prefix = "%" } == [])
                #expect(try await found { $0.prefix = String(web.slug.rawValue.prefix(8)) }.contains(web.id))
                #expect(try await found { $0.idleFor = .seconds(599) } == [vm.id])
                #expect(try await found { $0.idleFor = .seconds(700) } == [])
                #expect(try await found { $0.host = HostID() } == [])
                let first = try await environments.search(limit: 2)
                let rest = try await environments.search(limit: 2, after: first.last?.id)
                #expect((first + rest).map(\.id) == [vm.id, work.id, web.id])
            }
        }
    }
}
