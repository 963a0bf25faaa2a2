import Fleet
import Foundation
import JobQueue
import PostgreSQL
import Providers
import Redis
import Telemetry
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct SweeperTests {
        /// Sweeps all the time.
        func configuration(_ name: String) -> WorkerConfiguration {
            var configuration = WorkerConfiguration(name: name)
            configuration.reconcileInterval = .milliseconds(5)
            configuration.sweepInterval = .milliseconds(5)
            configuration.lostInterval = .milliseconds(5)
            configuration.electionInterval = .milliseconds(5)
            configuration.stuckAge = .zero
            return configuration
        }

        func sweeper(
            _ bench: Bench, _ provider: ScriptedProvider, _ name: String,
            _ metrics: WorkerMetrics = WorkerMetrics(in: MetricRegistry())
        ) -> Sweeper {
            Sweeper(
                fleet: bench.fleet, providers: ProviderSet(only: provider), configuration: configuration(name),
                metrics: metrics, logger: quiet)
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
                let sweeper = sweeper(bench, bench.provider, "w")
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

                let sweeper = sweeper(bench, bench.provider, "w")
                try await beside({ await sweeper.run() }) {
                    try await eventually(describing: "execution lost") {
                        try await bench.fleet.executions.find(dead, owner: vm.userID)?.summary.state == .lost
                    }
                }
                let kept = try await bench.fleet.executions.find(alive, owner: vm.userID)
                #expect(kept?.summary.state == .running)
                // Also of a run that ended while the database was away: its gateway had the end, and took it along.
                let line = try await bench.fleet.audit.list(environment: vm.id).first { $0.action == "execute" }
                #expect(line?.errorCode == "execution_lost" && line?.detail["execution"] == "\(dead)")
                #expect(line?.actor == .worker("w") && line?.detail["state"] == "lost")
            }
        }

        @Test func aSweepThatFailsKeepsNoOtherFromItsRounds() async throws {
            try await withBench { bench in
                let caller = try await bench.caller()
                var request = EnvironmentRequest(name: "for an hour", provider: "local")
                request.durationHours = 1
                let made = try await bench.fleet.environments.create(request, for: caller, requestID: nil)
                try await bench.run(made)
                try await bench.pool.execute("UPDATE dev_environments SET expires_at = now() - interval '1 s'")
                // What is idle cannot be told, nor what is lost.
                try await bench.pool.execute("ALTER TABLE environment_executions RENAME TO elsewhere")
                let registry = MetricRegistry()
                let sweeper = sweeper(bench, bench.provider, "w", WorkerMetrics(in: registry))
                try await beside({ await sweeper.run() }) {
                    try await eventually(describing: "VM being destroyed") {
                        try await bench.now(made).state == .destroying
                    }
                    try await eventually(describing: "failures counted") {
                        await registry.exposition().contains(
                            "martlet_sweep_seconds_count{sweep=\"idle\",outcome=\"failed\"}")
                    }
                }
                let figures = await registry.exposition()
                #expect(figures.contains("martlet_sweep_seconds_count{sweep=\"expired\",outcome=\"ok\"}"))
                #expect(!figures.contains("sweep=\"expired\",outcome=\"failed\""))
            }
        }

        @Test func oneEnvironmentThatFailsKeepsNobodyFromTheOthers() async {
            func failure(_ code: ServiceError.Code) -> ServiceError { ServiceError(code, "No.", hint: "None.") }
            var seen: [Int] = []
            await #expect(throws: ServiceError.self) {
                try await [1, 2, 3].eachAlone { number in
                    seen.append(number)
                    if number == 1 { throw failure(.internalError) }
                }
            }
            #expect(seen == [1, 2, 3])
            // The database is away: it would be for all of them.
            await #expect(throws: ServiceError.self) {
                try await [4, 5].eachAlone { number in
                    seen.append(number)
                    throw failure(.serviceUnavailable)
                }
            }
            #expect(seen == [1, 2, 3, 4])
        }

        /// Neither worker has the other's provider.
        @Test func theVMsOfEveryProviderAreCompared() async throws {
            try await withBench { bench in
                let providers = [ScriptedProvider(.local), ScriptedProvider(.docker)]
                let sweepers = providers.map { sweeper(bench, $0, "w-\($0.kind)") }
                try await beside({ await sweepers[0].run() }) {
                    try await beside({ await sweepers[1].run() }) {
                        for provider in providers {
                            try await eventually(describing: "VMs of \(provider.kind) compared") {
                                await provider.calls(of: .list) > 1
                            }
                        }
                    }
                }
            }
        }

        @Test func oneOfTwoSweepsUntilItGoes() async throws {
            try await withBench { bench in
                let providers = [ScriptedProvider(), ScriptedProvider()]
                let sweepers = providers.enumerated().map { number, provider in
                    sweeper(bench, provider, "w\(number)")
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
