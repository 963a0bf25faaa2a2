import Fleet
import JobQueue
import PostgreSQL
import Providers
import Redis
import TestSupport
import Testing

@testable import Worker

extension Live {
    /// A Redis of the test's own forgets everything.
    @Suite struct RedisLossTests {
        func worker(_ bench: Bench) -> WorkerService {
            var configuration = WorkerConfiguration(name: "w")
            configuration.sweepInterval = .milliseconds(10)
            configuration.electionInterval = .milliseconds(10)
            configuration.stuckAge = .zero
            return WorkerService(
                fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration,
                logger: quiet)
        }

        func check(_ bench: Bench, _ before: Environment) async throws {
            let outcome = try #require(before.pendingJob?.action.outcome)
            let worker = worker(bench)
            try await beside({ try await worker.run() }) {
                try await eventually(describing: "VM \(outcome.rawValue)") {
                    try await bench.now(before).state == outcome
                }
            }
            let machine = await bench.provider.state(of: VMInstance.ID(rawValue: before.vmName))
            #expect(machine == [.running: .running, .stopped: .stopped, .destroyed: .missing][outcome])
            let lines = try await bench.fleet.audit.list(environment: before.id)
            #expect(lines.filter { $0.fromState == before.state }.map(\.toState) == [outcome])
            #expect(lines.allSatisfy { $0.errorCode == nil })
        }

        @Test(arguments: [EnvironmentState.provisioning, .starting, .stopping, .destroying])
        func whatWasOnItsWayArrives(state: EnvironmentState) async throws {
            try await RedisServer.with { server in
                try await withBench(redis: server.url) { bench in
                    let environment = try await bench.entering(state)
                    try await bench.fleet.redis.command("FLUSHALL")
                    try await check(bench, environment)
                }
            }
        }

        /// In the middle of the job.
        @Test(
            arguments: zip(
                [EnvironmentState.provisioning, .starting, .stopping, .destroying],
                [ScriptedProvider.Operation.create, .start, .stop, .destroy]))
        func whatIsUnderWayArrives(state: EnvironmentState, operation: ScriptedProvider.Operation) async throws {
            try await RedisServer.with { server in
                try await withBench(redis: server.url) { bench in
                    let environment = try await bench.entering(state)
                    await bench.provider.next(operation) { try await bench.fleet.redis.command("FLUSHALL") }
                    try await check(bench, environment)
                }
            }
        }
    }
}
