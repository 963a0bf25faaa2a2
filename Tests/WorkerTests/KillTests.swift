import Fleet
import Foundation
import PostgreSQL
import Providers
import Redis
import Synchronization
import TestSupport
import Testing

@testable import JobQueue
@testable import Worker

extension Live {
    /// A worker ends at every point at which its handler waits for something, and another takes the job.
    @Suite struct KillTests {
        enum End: CaseIterable {
            /// It reaches nothing any more: neither of the servers, nor the provider.
            case killed
            /// Its handler is cancelled, and everything else goes on.
            case cancelled
        }

        @Test(arguments: [EnvironmentState.provisioning, .starting, .stopping, .destroying], End.allCases)
        func aJobIsDoneOnceWhereverItsWorkerEnds(state: EnvironmentState, end: End) async throws {
            try await withBench { bench in
                var step = 0
                var isReached = true
                while isReached {
                    step += 1
                    let environment = try await entering(state, bench)
                    isReached = try await run(environment, bench, ending: end, before: step)
                    try await bench.run(environment)
                    try await check(environment, bench, "step \(step)")
                }
                #expect(step > 5, "it waits for the row, the provider, the move and the log at least")
            }
        }

        /// One with a setup that nobody has carried out.
        func entering(_ state: EnvironmentState, _ bench: Bench) async throws -> Environment {
            var request = EnvironmentRequest(name: "box", provider: "local")
            request.initScript = "true"
            let environments = bench.fleet.environments
            let made = try await environments.create(request, for: try await bench.caller(), requestID: nil)
            if state == .provisioning { return made }
            try await bench.run(made)
            if state == .destroying { return try await environments.requestDestroy(made.id, actor: .system("test")) }
            let stopping = try await environments.requestStop(made.id, actor: .system("test"))
            if state == .stopping { return stopping }
            try await bench.run(stopping)
            return try await environments.requestStart(made.id, actor: .system("test"))
        }

        /// Has a worker do the job that ends before the given step; `false` if the job has not so many.
        func run(
            _ environment: Environment, _ bench: Bench, ending end: End, before step: Int
        ) async throws -> Bool {
            let job = try await bench.job(of: environment)
            var isReached = false
            try await bench.withAnotherFleet(name: "victim") { fleet in
                let provider = SeverableProvider(bench.provider)
                let handler = JobHandler(
                    fleet: fleet, providers: ProviderSet(only: provider),
                    configuration: WorkerConfiguration(name: "victim"), logger: quiet)
                let context = JobContext(job: job, token: "t", queue: fleet.controlQueue, logger: quiet)
                let victim = Mutex<Task<Void, Never>?>(nil)
                let executor = StepExecutor(before: step) {
                    switch end {
                    case .killed:
                        provider.sever()
                        await Self.cutOff(fleet, bench)
                    case .cancelled: victim.withLock { $0 }?.cancel()
                    }
                }
                let (ready, begin) = AsyncStream.makeStream(of: Void.self)
                let task = Task {
                    for await _ in ready { break }
                    await withTaskExecutorPreference(executor) { _ = try? await handler.handle(job, context) }
                }
                victim.withLock { $0 = task }
                begin.yield()
                await task.value
                isReached = executor.isReached
            }
            return isReached
        }

        /// Ends all connections of a fleet, as the kernel does for a process that was killed, and lets it have no others.
        static func cutOff(_ fleet: Fleet, _ bench: Bench) async {
            await fleet.redis.close()
            // Waits for what is lent, which is given back only when the victim goes on.
            Task { await fleet.database.close() }
            while true {
                do {
                    _ = try await fleet.database.query("SELECT 1")
                } catch let error as PostgresError where error.kind == .closed {
                    break
                } catch {}
                await Task.yield()
            }
            do {
                _ = try await bench.pool.query(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'victim'")
            } catch {
                Issue.record("the victim's connections were not ended: \(error)")
            }
        }

        func check(_ before: Environment, _ bench: Bench, _ step: Comment) async throws {
            let action = try #require(before.pendingJob).action
            let outcome = try #require(action.outcome)
            let now = try await bench.now(before)
            #expect(now.state == outcome && now.generation == before.generation + 1, step)
            let machines = await bench.provider.specs.filter { $0.name == before.vmName }.count
            #expect(machines == (outcome == .destroyed ? 0 : 1), step)
            let machine = await bench.provider.state(of: VMInstance.ID(rawValue: before.vmName))
            #expect(machine == [.running: .running, .stopped: .stopped, .destroyed: .missing][outcome], step)

            let lines = try await bench.fleet.audit.list(environment: before.id)
            #expect(lines.filter { $0.fromState == before.state && $0.toState == outcome }.count == 1, step)
            #expect(lines.allSatisfy { $0.errorCode == nil }, step)
            #expect(Set(lines.compactMap(\.generation)) == Set(1...now.generation), step)
            let open = try await bench.pool.query(
                "SELECT count(*) FROM environment_runs WHERE environment_id = \(before.id) AND stopped_at IS NULL")
            #expect(try open.first?.decode(at: 0, as: Int.self) == (outcome == .running ? 1 : 0), step)
            let due = try await bench.pool.query(
                "SELECT setup_due_at IS NOT NULL FROM dev_environments WHERE id = \(before.id)")
            #expect(try due.first?.decode(at: 0, as: Bool.self) == (outcome == .running), step)

            let told = action == .provision ? "Provisioning complete" : "The VM is \(outcome.rawValue)"
            let log = try await bench.fleet.provisionLog.recent(before.userID)
            #expect(log.contains { $0.message.hasPrefix(told) && $0.level == .success }, step)
            #expect(log.allSatisfy { $0.level != .error }, step)
        }
    }
}
