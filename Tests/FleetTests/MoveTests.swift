import Cryptography
import Foundation
import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct MoveTests {
        @Test func everyPairThroughSQLMovesOrLeavesEverythingAsItWas() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                var generation = vm.generation
                for (from, to) in EnvironmentStateTests.pairs {
                    try await bench.pool.execute(
                        """
                        UPDATE dev_environments SET state = \(from), running_since = NULL WHERE id = \(vm.id)
                        """)
                    try await bench.pool.execute("DELETE FROM environment_runs")
                    try await bench.pool.execute("DELETE FROM environment_audit_log")
                    let move = {
                        try await bench.fleet.environments.commitMove(
                            vm.id, from: from, generation: generation, to: to, change: EnvironmentChange(),
                            actor: .worker("w"), action: "test", requestID: "r1", detail: ["why": "test"],
                            by: { try await bench.pool.query($0) })
                    }
                    guard from.successors.contains(to) else {
                        await #expect(throws: ServiceError.self) {
                            try await bench.fleet.environments.move(
                                vm.id, from: from, generation: generation, to: to, actor: .worker("w"), action: "test")
                        }
                        #expect(try await bench.fleet.environments.find(vm.id)?.generation == generation)
                        continue
                    }
                    let moved = try #require(try await move())
                    #expect(moved.environment.state == to && moved.environment.generation == generation + 1)
                    #expect(try await move() == nil, "a second one with the same view finds it moved")
                    generation += 1
                    let lines = try await bench.fleet.audit.list(environment: vm.id)
                    #expect(lines.count == 1)
                    let line = try #require(lines.first)
                    #expect(line.fromState == from && line.toState == to && line.generation == generation)
                    #expect(line.actor == .worker("w") && line.requestID == "r1" && line.detail == ["why": "test"])
                    let jobs = try await bench.pool.query("DELETE FROM job_outbox RETURNING name, job_id, data")
                    let action = EnvironmentAction(entering: to)
                    #expect(try jobs.map { try $0.decode("name") } == [action].compactMap { $0?.rawValue })
                    if let action, let job = jobs.first {
                        let data = try EnvironmentJob(json: try job.decode("data"))
                        #expect(
                            data
                                == EnvironmentJob(
                                    environmentID: vm.id, userID: vm.userID, generation: generation, requestID: "r1"))
                        #expect(try job.decode("job_id") == data.id(for: action))
                    }
                }
            }
        }

        @Test func anUnseenGenerationMovesNothing() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let moved = try await bench.fleet.environments.move(
                    vm.id, from: .running, generation: vm.generation - 1, to: .stopping, actor: .system("test"),
                    action: "stop")
                #expect(moved == nil)
                #expect(try await bench.fleet.environments.find(vm.id) == vm)
                #expect(try await bench.auditLines(vm.id, action: "stop") == 0)
            }
        }

        @Test func fiftyAtOnceMakeOneVM() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let servers = [bench.fleet, try bench.another()]
                let ids = try await withThrowingTaskGroup(of: EnvironmentID.self) { group in
                    for number in 0..<50 {
                        group.addTask {
                            try await servers[number % 2].environments.createUserVM(
                                for: caller, requestID: "r\(number)", provider: "local"
                            ).id
                        }
                    }
                    return try await group.reduce(into: Set<EnvironmentID>()) { $0.insert($1) }
                }
                #expect(ids.count == 1)
                let id = try #require(ids.first)
                #expect(try await bench.count("SELECT count(*) FROM dev_environments") == 1)
                #expect(try await bench.count("SELECT count(*) FROM user_vms") == 1)
                #expect(try await bench.auditLines(id, action: "create") == 1)
                #expect(try await bench.count("SELECT last_value FROM job_outbox_id_seq") == 1)
                #expect(try await bench.count("SELECT count(*) FROM job_outbox") == 0)
                #expect(try await bench.fleet.provisionQueue.counts()[.waiting] == 1)
                let job = try #require(try await bench.fleet.provisionQueue.job("provision-\(id)-1"))
                #expect(job.name == "provision" && job.options.attempts == 3)
                let vm = try #require(try await bench.fleet.environments.userVM(of: caller.userID))
                #expect(vm.status == .provisioning && vm.vcpus == 2 && vm.memoryMb == 4_096 && vm.diskMb == 10_240)
            }
        }

        /// An operator's own figures, told to whoever makes jobs.
        @Test func attemptsAndRestsOfAJobAreThoseThatAreSet() async throws {
            try await withFleet { bench in
                var configuration = FleetConfiguration(queuePrefix: bench.prefix)
                configuration.jobs.provision = JobPolicy(attempts: 9, backoff: .milliseconds(1_500))
                configuration.jobs.control = JobPolicy(attempts: 1, backoff: .seconds(7))
                let fleet = Fleet(
                    database: bench.pool, redis: bench.redis, secrets: try SecretBox(key: someKey),
                    configuration: configuration, logger: quiet)
                let made = try await fleet.environments.createUserVM(
                    for: try await bench.caller(), requestID: nil, provider: "local")
                try await expectPolicy(fleet.provisionQueue, made, fleet, attempts: 9, backoff: 1_500)
                let running = try await bench.move(made, .running)
                let stopping = try await fleet.environments.requestStop(running.id, actor: .system("test"))
                try await expectPolicy(fleet.controlQueue, stopping, fleet, attempts: 1, backoff: 7_000)
            }
        }

        private func expectPolicy(
            _ queue: JobQueue, _ environment: Environment, _ fleet: Fleet, attempts: Int, backoff: Int
        ) async throws {
            let id = try #require(environment.pendingJob).id
            let job = try #require(try await queue.job(id))
            #expect(job.options.attempts == attempts && job.options.backoff == .exponential(backoff))
            // As well when it is added again because Redis lost it.
            try await queue.remove(id)
            try await fleet.outbox.ensureJob(for: environment)
            let again = try #require(try await queue.job(id))
            #expect(again.options.attempts == attempts && again.options.backoff == .exponential(backoff))
        }

        @Test func aHundredCallersStartItOnce() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.stopped, of: caller)
                let servers = [bench.fleet, try bench.another()]
                let answers = try await withThrowingTaskGroup(of: Environment.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            try await servers[number % 2].environments.requestStart(
                                vm.id, actor: AuditActor(caller), requestID: "r\(number)")
                        }
                    }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(answers.allSatisfy { $0.state == .starting && $0.generation == vm.generation + 1 })
                #expect(try await bench.auditLines(vm.id, action: "start") == 1)
                let start = "start-\(vm.id)-\(vm.generation + 1)"
                #expect(try await bench.fleet.controlQueue.state(of: start) == .waiting)
                let jobs = try await bench.fleet.controlQueue.jobs(in: .waiting, range: 0..<100)
                #expect(jobs.filter { $0.name == "start" }.map(\.id) == [start])
            }
        }

        @Test func requestsAreIdempotentAndRefusalsSayWhatToDo() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let actor = AuditActor(caller)
                let environments = bench.fleet.environments
                let vm = try await bench.vm(.running, of: caller)
                #expect(try await environments.requestStart(vm.id, actor: actor) == vm)
                let stopping = try await environments.requestStop(vm.id, actor: actor)
                #expect(try await environments.requestStop(vm.id, actor: actor) == stopping)
                let refusal = await #expect(throws: ServiceError.self) {
                    try await environments.requestStart(vm.id, actor: actor)
                }
                #expect(refusal?.code == .illegalTransition && refusal?.message.contains(vm.slug.rawValue) == true)
                let failed = try #require(
                    try await environments.move(
                        vm.id, from: .stopping, generation: stopping.generation, to: .error,
                        change: EnvironmentChange(errorMessage: "The disk is full."), actor: .worker("w"),
                        action: "fail"))
                #expect(failed.errorMessage == "The disk is full." && failed.status == .error)
                let recovered = try await environments.recover(vm.id, actor: actor)
                #expect(recovered.state == .starting && recovered.errorMessage == nil)
                let missing = await #expect(throws: ServiceError.self) {
                    try await environments.requestDestroy(EnvironmentID(), actor: actor)
                }
                #expect(missing?.code == .environmentNotFound)
            }
        }

        @Test func aDestroyedVMLeavesNoSecretAndMakesRoomForANewOne() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                let vm = try await bench.vm(.stopped, of: caller)
                _ = try await environments.secrets(for: vm.id)
                let destroying = try await environments.requestDestroy(vm.id, actor: AuditActor(caller))
                _ = try #require(
                    try await environments.move(
                        vm.id, from: .destroying, generation: destroying.generation, to: .destroyed,
                        actor: .worker("w"), action: "destroyed"))
                #expect(try await environments.connection(of: vm.id) == nil)
                #expect(try await environments.userVM(of: caller.userID) == nil)
                #expect(try await environments.list(owner: caller.userID).isEmpty)
                let second = try await environments.createUserVM(for: caller, requestID: nil, provider: "local")
                #expect(second.id != vm.id)
            }
        }

        @Test func runTimeIsAddedUpOverRuns() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let environments = bench.fleet.environments
                var vm = try await bench.vm(.stopped, of: caller)
                for _ in 0..<3 {
                    vm = try await environments.requestStart(vm.id, actor: AuditActor(caller))
                    vm = try #require(
                        try await environments.move(
                            vm.id, from: .starting, generation: vm.generation, to: .running, actor: .worker("w"),
                            action: "started"))
                    try await bench.pool.execute(
                        "UPDATE dev_environments SET running_since = now() - interval '100.4 s' WHERE id = \(vm.id)")
                    vm = try await environments.requestStop(vm.id, actor: AuditActor(caller))
                    #expect(vm.runningSince != nil, "it runs until it is known to have stopped")
                    vm = try #require(
                        try await environments.move(
                            vm.id, from: .stopping, generation: vm.generation, to: .stopped, actor: .worker("w"),
                            action: "stopped"))
                }
                #expect((301_200...303_000).contains(vm.accountedRuntimeMs) && vm.runningSince == nil)
            }
        }

        @Test func aSubscriberHearsEveryMove() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.stopped, of: caller)
                try await bench.fleet.signals.withSubscription(to: vm.id) { signals in
                    let starting = try await bench.fleet.environments.requestStart(vm.id, actor: AuditActor(caller))
                    _ = try await bench.fleet.environments.move(
                        vm.id, from: .starting, generation: starting.generation, to: .error,
                        change: EnvironmentChange(errorMessage: "no"), actor: .worker("w"), action: "fail")
                    var iterator = signals.makeAsyncIterator()
                    #expect(
                        try await iterator.next()
                            == .moved(.starting, generation: vm.generation + 1, message: nil))
                    #expect(
                        try await iterator.next() == .moved(.error, generation: vm.generation + 2, message: "no"))
                }
            }
        }
    }
}
