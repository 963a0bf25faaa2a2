import Foundation
import PostgreSQL
import Redis
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct HistoryTests {
        func record(_ vm: Environment, gateway: String, code: [UInt8] = Array("print(1)".utf8)) -> ExecutionRecord {
            ExecutionRecord(
                id: ExecutionID(), userID: vm.userID, environmentID: vm.id, gatewayID: gateway, requestID: "r",
                language: "python", code: code)
        }

        @Test func anExecutionIsKeptWithTheBeginningOfItsOutput() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let executions = bench.fleet.executions
                let code: [UInt8] = [0, 255] + [UInt8](repeating: 65, count: 100_000)
                let record = record(vm, gateway: "g", code: code)
                try await executions.begin(record)
                #expect(try await executions.countRunning(in: vm.id) == 1)
                var outcome = ExecutionOutcome(state: .outputLimit)
                outcome.signal = "SIGKILL"
                outcome.durationMs = 12.5
                outcome.truncated = true
                outcome.stdout = [UInt8](repeating: 0, count: 70_000)
                outcome.stdoutBytes = 1 << 33
                #expect(try await executions.finish(record.id, outcome, actor: AuditActor(caller)))
                #expect(try await executions.finish(record.id, outcome, actor: AuditActor(caller)) == false)

                let kept = try #require(try await executions.find(record.id, owner: caller.userID))
                #expect(kept.code == Array(code.prefix(65_536)) && kept.summary.codeBytes == code.count)
                #expect(kept.stdout == [UInt8](repeating: 0, count: 65_536) && kept.stderr.isEmpty)
                #expect(kept.summary.stdoutBytes == 1 << 33 && kept.summary.state == .outputLimit)
                #expect(kept.summary.exitCode == nil && kept.summary.signal == "SIGKILL")
                #expect(kept.summary.durationMs == 12.5 && kept.summary.finishedAt != nil)
                #expect(try await bench.auditLines(vm.id, action: "execute") == 1)
                #expect(try await executions.find(record.id, owner: try await bench.caller().userID) == nil)
            }
        }

        @Test func pagesFollowEachOtherNewestFirst() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                var ids: [ExecutionID] = []
                for _ in 0..<7 {
                    let record = record(vm, gateway: "g")
                    try await bench.fleet.executions.begin(record)
                    ids.insert(record.id, at: 0)
                }
                var listed: [ExecutionID] = []
                for _ in 0..<4 {
                    listed += try await bench.fleet.executions.list(
                        owner: caller.userID, limit: 3, before: listed.last
                    ).map(\.id)
                }
                #expect(listed == ids)
                let stranger = try await bench.caller()
                #expect(try await bench.fleet.executions.list(owner: stranger.userID, before: ids[0]).isEmpty)
            }
        }

        @Test func onlyExecutionsOfGatewaysThatAreGoneAreLost() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let executions = bench.fleet.executions
                let (dead, living, young) = (
                    record(vm, gateway: "dead"), record(vm, gateway: "alive"), record(vm, gateway: "newcomer")
                )
                for record in [dead, living] { try await executions.begin(record) }
                try await bench.pool.execute(
                    "UPDATE environment_executions SET started_at = now() - interval '1 minute'")
                try await executions.begin(young)
                let lost = try await executions.loseAbandoned(gatewaysAlive: ["alive"], actor: .worker("w"))
                #expect(lost == [dead.id])
                let kept = try await executions.find(dead.id, owner: caller.userID)
                #expect(kept?.summary.state == .lost && kept?.summary.errorCode == .executionLost)
                #expect(try await executions.find(living.id, owner: caller.userID)?.summary.state == .running)
                // The gateway was only slow.
                var outcome = ExecutionOutcome(state: .exited)
                outcome.exitCode = 0
                #expect(try await executions.finish(dead.id, outcome, actor: AuditActor(caller)))
                let ended = try await executions.find(dead.id, owner: caller.userID)
                #expect(ended?.summary.state == .exited && ended?.summary.errorCode == nil)
                #expect(try await executions.loseAbandoned(gatewaysAlive: [], actor: .worker("w")) == [living.id])
            }
        }

        /// A gateway kept the end, told its caller, and died before it wrote the row.
        @Test(arguments: Reader.allCases) func anEndInTheJournalIsFound(reader: Reader) async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let executions = bench.fleet.executions
                let (ended, running) = (record(vm, gateway: "dead"), record(vm, gateway: "dead"))
                for record in [ended, running] { try await executions.begin(record) }
                try await bench.pool.execute(
                    "UPDATE environment_executions SET started_at = now() - interval '1 minute'")
                var outcome = ExecutionOutcome(state: .signaled)
                outcome.signal = "SIGSEGV"
                outcome.stdout = [0x68, 0xFF, 0]
                outcome.stdoutBytes = 3
                outcome.durationMs = 1.5
                #expect(
                    try await executions.journal.keep(.init(id: ended.id, outcome: outcome, actor: AuditActor(caller))))
                switch reader {
                case .one: _ = try await executions.find(ended.id, owner: caller.userID)
                case .list: _ = try await executions.list(owner: caller.userID)
                case .ofEnvironment: _ = try await executions.list(environment: vm.id)
                case .sweep:
                    let lost = try await executions.loseAbandoned(gatewaysAlive: [], actor: .worker("w"))
                    #expect(lost == [running.id])
                }
                let rows = try await bench.pool.query("SELECT state FROM environment_executions WHERE id = \(ended.id)")
                #expect(try rows[0].decode("state") == ExecutionState.signaled)
                let found = try await executions.find(ended.id, owner: caller.userID)
                #expect(found?.summary.signal == "SIGSEGV" && found?.stdout == [0x68, 0xFF, 0])
                #expect(found?.summary.durationMs == 1.5)
                #expect(try await executions.settle([ended.id, running.id]) == false)  // it is not kept twice
            }
        }

        /// A gateway told its caller that the run has begun, and died before it wrote the row.
        @Test(arguments: Reader.allCases) func aBeginningInTheJournalIsFound(reader: Reader) async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let executions = bench.fleet.executions
                let (start, code) = (Date(timeIntervalSinceNow: -60), [0xFF, 0] + Array("é\n".utf8))
                let begun = ExecutionRecord(
                    id: ExecutionID(), userID: vm.userID, environmentID: vm.id, gatewayID: "dead", requestID: nil,
                    language: "python", code: code, startedAt: start)
                let elsewhere = ExecutionRecord(
                    id: ExecutionID(), userID: vm.userID, environmentID: EnvironmentID(), gatewayID: "dead",
                    requestID: nil, language: "python", code: code, startedAt: start)
                for record in [begun, elsewhere] { #expect(try await executions.journal.keep(record)) }
                switch reader {
                case .one:
                    let found = try await executions.find(begun.id, owner: caller.userID)
                    #expect(found?.code == code && found?.summary.requestID == nil)
                case .list:
                    #expect(try await executions.list(owner: caller.userID).map(\.id) == [begun.id])
                case .ofEnvironment:
                    #expect(try await executions.list(environment: vm.id).map(\.id) == [begun.id])
                case .sweep:
                    let lost = try await executions.loseAbandoned(gatewaysAlive: [], actor: .worker("w"))
                    #expect(lost == [begun.id])
                }
                let rows = try await bench.pool.query("SELECT started_at FROM environment_executions")
                #expect(rows.count == 1)
                let startedAt: Date = try rows[0].decode("started_at")
                #expect(abs(startedAt.timeIntervalSince(start)) < 0.001)
                #expect(try await executions.journal.beginnings().allSatisfy { $0.id != begun.id })
                try await executions.journal.forget(elsewhere.id)
            }
        }

        @Test func beginningAndEndAreWrittenAtOnce() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let executions = bench.fleet.executions
                var outcome = ExecutionOutcome(state: .exited)
                outcome.exitCode = 3
                outcome.errorMessage = "a\0b"
                let (fresh, begun) = (record(vm, gateway: "g"), record(vm, gateway: "g"))
                try await executions.begin(begun)
                for record in [fresh, begun] {
                    #expect(try await executions.complete(record, outcome, actor: AuditActor(caller)))
                    #expect(try await !executions.complete(record, outcome, actor: AuditActor(caller)))
                    try await executions.begin(record)  // late: it changes nothing
                    let kept = try #require(try await executions.find(record.id, owner: caller.userID))
                    #expect(kept.summary.state == .exited && kept.summary.exitCode == 3 && kept.code == record.code)
                    #expect(kept.summary.errorMessage == "a\u{FFFD}b")
                    let finishedAt = try #require(kept.summary.finishedAt)
                    #expect(finishedAt >= kept.summary.startedAt)
                }
                #expect(try await bench.auditLines(vm.id, action: "execute") == 2)
            }
        }

        enum Reader: CaseIterable { case one, list, ofEnvironment, sweep }

        @Test func aLongEndIsForTheRowAlone() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                var outcome = ExecutionOutcome(state: .exited)
                outcome.stdout = [UInt8](repeating: 97, count: ExecutionJournal.sizeLimit + 1)
                let journal = bench.fleet.executions.journal
                #expect(
                    try await !journal.keep(.init(id: ExecutionID(), outcome: outcome, actor: AuditActor(caller))))
            }
        }

        @Test func nobodyIsCalledGoneUntilEveryoneCouldHaveSpoken() async throws {
            try await withFleet { bench in
                let presence = Presence(
                    redis: bench.redis, kind: "gateways", logger: quiet, lifetimeMs: 300, prefix: "test-\(UUID())")
                #expect(try await presence.alive() == nil)
                let names = try await eventually(
                    describing: "two gateways alive",
                    read: {
                        try await presence.heartbeat("g1")
                        try await presence.heartbeat("g2")
                        return try await presence.alive()
                    }, until: { $0 != nil })
                #expect(names == ["g1", "g2"])
                try await presence.leave("g1")
                #expect(try await presence.alive() == ["g2"])
                try await eventually(within: .seconds(2), describing: "silent gateway gone") {
                    try await presence.alive() == []
                }
                try await bench.redis.command("DEL", "\(presence.prefix):gateways:since")
                #expect(try await presence.alive() == nil, "Redis lost its data")
            }
        }

        @Test func aFloodOfUsesIsWrittenOnce() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                try await bench.pool.execute("UPDATE dev_environments SET last_activity_at = NULL")
                await withTaskGroup { group in
                    for _ in 0..<100 { group.addTask { await bench.fleet.environments.touchActivity(vm.id) } }
                }
                let first = try #require(try await bench.fleet.environments.find(vm.id)?.lastActivityAt)
                await (try bench.another()).environments.touchActivity(vm.id)
                #expect(try await bench.fleet.environments.find(vm.id)?.lastActivityAt == first)
            }
        }
    }
}
