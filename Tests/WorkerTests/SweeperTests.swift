import Fleet
import Foundation
import JobQueue
import PostgreSQL
import Providers
import Redis
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct SweeperTests {
        /// Sweeps all the time.
        func configuration(_ name: String) -> WorkerConfiguration {
            var configuration = WorkerConfiguration(name: name)
            configuration.reconcileInterval = .milliseconds(5)
            configuration.stuckInterval = .milliseconds(5)
            configuration.lostInterval = .milliseconds(5)
            configuration.electionInterval = .milliseconds(5)
            configuration.stuckAge = .zero
            return configuration
        }

        @Test func aJobThatRedisLostIsDoneAllTheSame() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                try await bench.fleet.provisionQueue.remove(try #require(requested.pendingJob).id)
                let worker = WorkerService(
                    fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration("w"),
                    logger: quiet)
                try await beside({ try await worker.run() }) {
                    try await eventually(describing: "VM running") { try await bench.now(requested).state == .running }
                }
                #expect(await bench.provider.specs.count == 1)
            }
        }

        /// Its worker died, or lost the database, between the last failure and the move that tells of it.
        @Test func aRowWhoseJobHasFailedForGoodIsNotLeftWaiting() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                let job = try #require(requested.pendingJob).id
                let queue = bench.fleet.provisionQueue
                let failing = QueueWorker(queue: queue, name: "w", concurrency: 1, logger: quiet) { _, _ in
                    throw UnrecoverableJobError(reason: "no way")
                }
                try await beside({ try await failing.run() }) {
                    try await eventually(describing: "job failed") { try await queue.state(of: job) == .failed }
                }
                let sweeper = Sweeper(
                    fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration("w"),
                    logger: quiet)
                try await beside({ await sweeper.run() }) {
                    try await eventually(describing: "VM in error") { try await bench.now(requested).state == .error }
                }
                let message = try #require(try await bench.now(requested).errorMessage)
                #expect(message.contains("used up its attempts"))
            }
        }

        @Test func anExecutionIsLostWithItsGateway() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                let living = "gateway-\(UUID())"
                func begin(by gateway: String) async throws -> ExecutionID {
                    let id = ExecutionID()
                    try await bench.fleet.executions.begin(
                        ExecutionRecord(
                            id: id, userID: vm.userID, environmentID: vm.id, gatewayID: gateway, requestID: nil,
                            language: "python", code: []))
                    return id
                }
                let (dead, alive) = (try await begin(by: "gateway-\(UUID())"), try await begin(by: living))
                try await bench.pool.execute(
                    "UPDATE environment_executions SET started_at = now() - interval '1 minute'")
                try await bench.fleet.presence.heartbeat(living)
                // As if every gateway had had the time to tell that it lives.
                try await bench.fleet.redis.command("SET", "martlet:gateways:since", "1")

                let sweeper = Sweeper(
                    fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration("w"),
                    logger: quiet)
                try await beside({ await sweeper.run() }) {
                    try await eventually(describing: "execution lost") {
                        try await bench.fleet.executions.find(dead, owner: vm.userID)?.summary.state == .lost
                    }
                }
                let kept = try await bench.fleet.executions.find(alive, owner: vm.userID)
                #expect(kept?.summary.state == .running)
            }
        }

        @Test func oneOfTwoSweepsUntilItGoes() async throws {
            try await withBench { bench in
                let providers = [ScriptedProvider(), ScriptedProvider()]
                let sweepers = providers.enumerated().map { number, provider in
                    Sweeper(
                        fleet: bench.fleet, providers: ProviderSet(only: provider),
                        configuration: configuration("w\(number)"),
                        logger: quiet)
                }
                func sweeps() async -> [Int] {
                    [await providers[0].calls(of: .list), await providers[1].calls(of: .list)]
                }
                let tasks = sweepers.map { sweeper in Task { await sweeper.run() } }
                defer { for task in tasks { task.cancel() } }
                let counts = try await eventually(
                    describing: "sweeps of either", read: sweeps, until: { $0.reduce(0, +) >= 20 })
                #expect(counts.contains(0), "both sweep: \(counts)")
                let elected = counts[0] > 0 ? 0 : 1
                tasks[elected].cancel()
                await tasks[elected].value
                try await eventually(describing: "sweeps of the other") { await sweeps()[1 - elected] > 0 }
                tasks[1 - elected].cancel()
                await tasks[1 - elected].value
                let locks = try await bench.pool.query(
                    """
                    SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database
                    WHERE locktype = 'advisory' AND datname = current_database()
                    """)
                #expect(try locks.first?.decode(at: 0, as: Int.self) == 0, "the lock went back with its connection")
            }
        }
    }
}
