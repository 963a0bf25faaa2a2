import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct OutboxTests {
        @Test func whatACrashLeftBehindIsRelayedOnce() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.stopped, of: try await bench.caller())
                // The commit, and then nothing: the process died.
                let move = try #require(
                    try await bench.fleet.environments.commitMove(
                        vm.id, from: .stopped, generation: vm.generation, to: .starting, change: EnvironmentChange(),
                        actor: .system("test"), action: "start", requestID: nil,
                        by: { try await bench.pool.query($0) }))
                let job = try #require(move.job)
                #expect(try await bench.fleet.controlQueue.job(job.jobID) == nil)
                #expect(try await bench.fleet.outbox.backlog().count == 1)
                #expect(try await bench.fleet.outbox.relay(olderThan: .seconds(60)) == 0, "its committer may live")

                let servers = [bench.fleet, try bench.another(), try bench.another()]
                let taken = try await withThrowingTaskGroup(of: Int.self) { group in
                    for server in servers { group.addTask { try await server.outbox.relay(olderThan: .zero) } }
                    return try await group.reduce(0, +)
                }
                #expect(taken == 1)
                #expect(try await bench.fleet.outbox.backlog().count == 0)
                #expect(try await bench.fleet.controlQueue.job(job.jobID)?.data == job.data)
                let queued = try await bench.fleet.controlQueue.jobs(in: .waiting, range: 0..<100)
                #expect(queued.filter { $0.id == job.jobID }.count == 1)
            }
        }

        @Test func aJobThatRedisLostIsMadeAgain() async throws {
            try await withFleet { bench in
                let (vm, starting, job) = try await startingVM(bench)
                try await bench.fleet.controlQueue.remove(job.id)
                for _ in 0..<2 {
                    #expect(try await bench.fleet.outbox.ensureJob(for: starting) == .waiting)
                }
                let made = try #require(try await bench.fleet.controlQueue.job(job.id))
                #expect(try EnvironmentJob(json: made.data).generation == starting.generation)
                #expect(try await bench.fleet.outbox.ensureJob(for: vm) == nil, "a stopped one waits for nothing")
            }
        }

        /// Who waits for a VM reads its row and then looks for its job, which may have ended between the two.
        @Test func aJobThatEndedIsMadeAgainOnlyIfItsEnvironmentHasNotMoved() async throws {
            try await withFleet { bench in
                let (_, starting, job) = try await startingVM(bench)
                let queue = bench.fleet.controlQueue
                let worker = QueueWorker(queue: queue, name: "w", concurrency: 1, logger: quiet) { _, _ in nil }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await worker.run() }
                    try await eventually(describing: "its end") { try await queue.state(of: job.id) == .completed }
                    group.cancelAll()
                }
                #expect(try await bench.fleet.outbox.ensureJob(for: starting) == .waiting, "it moved nothing")

                _ = try await bench.move(starting, .running)
                try await queue.remove(job.id)
                #expect(try await bench.fleet.outbox.ensureJob(for: starting) == nil)
                #expect(try await queue.job(job.id) == nil, "the VM runs: nothing is left to do")
            }
        }

        /// A VM as it was stopped, as it starts, and the job that is to start it.
        private func startingVM(
            _ bench: Bench
        ) async throws -> (vm: Environment, starting: Environment, job: (action: EnvironmentAction, id: String)) {
            let caller = try await bench.caller()
            let vm = try await bench.vm(.stopped, of: caller)
            let starting = try await bench.fleet.environments.requestStart(vm.id, actor: AuditActor(caller))
            return (vm, starting, try #require(starting.pendingJob))
        }

        @Test func whileRedisIsAwayAMoveStillGoesThrough() async throws {
            try await RedisServer.with { server in
                try await LiveRedis.$url.withValue(server.url) {
                    try await withFleet { bench in
                        let caller = try await bench.caller()
                        let vm = try await bench.vm(.stopped, of: caller)
                        #expect(await bench.fleet.unreachable() == [:])
                        try await server.stop()
                        #expect(await bench.fleet.unreachable().keys.sorted() == ["redis"])
                        let starting = try await bench.fleet.environments.requestStart(
                            vm.id, actor: AuditActor(caller))
                        #expect(starting.state == .starting)
                        try await server.start()
                        #expect(try await bench.fleet.outbox.relay(olderThan: .zero) == 1)
                        let job = try #require(starting.pendingJob)
                        #expect(try await bench.fleet.controlQueue.state(of: job.id) == .waiting)
                    }
                }
            }
        }

        @Test func askingForAReconcileIsOneJobAMinute() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                var ids: Set<String> = []
                for _ in 0..<5 { ids.insert(try await bench.fleet.environments.requestReconcile(vm)) }
                #expect(ids.count <= 2, "the minute may have changed in between")
                let job = try await bench.fleet.controlQueue.job(try #require(ids.first))
                #expect(job?.name == "reconcile")
            }
        }
    }
}
