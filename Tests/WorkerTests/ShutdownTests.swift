import Execution
import Fleet
import JobQueue
import Providers
import Redis
import ServiceLifecycle
import TestSupport
import Testing

@testable import Worker

extension Live {
    /// Workers that are told to stop, by their service group.
    @Suite struct ShutdownTests {
        struct Part: Service {
            let work: @Sendable () async throws -> Void
            func run() async throws { try await work() }
        }

        /// Runs `work` as a service while `body` has its group, then tells it to stop, and waits for its end.
        func serving(
            _ work: @escaping @Sendable () async throws -> Void, _ body: (ServiceGroup) async throws -> Void
        ) async throws {
            let group = ServiceGroup(services: [Part(work: work)], logger: quiet)
            async let running: Void = group.run()
            do {
                try await body(group)
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await running
        }

        func worker(_ bench: Bench, _ name: String, drain: Duration) -> @Sendable () async throws -> Void {
            var configuration = WorkerConfiguration(name: name)
            configuration.drainTimeout = drain
            let service = WorkerService(
                fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration,
                logger: quiet)
            return { try await service.run() }
        }

        @Test func whatIsUnderWayIsFinishedAndNothingElseIsBegun() async throws {
            try await withBench { bench in
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                let (allowed, allow) = AsyncStream.makeStream(of: Void.self)
                await bench.provider.next(.start) {
                    begin.yield()
                    for await _ in allowed { break }
                }
                let environment = try await bench.requested()
                var later: Environment?
                try await serving(worker(bench, "w1", drain: .seconds(30))) { group in
                    for await _ in begun { break }
                    await group.triggerGracefulShutdown()
                    // Its presence goes first: from then on it takes nothing.
                    try await eventually(describing: "the worker stopping") {
                        let members = try await bench.fleet.redis.command("ZRANGE", "martlet:workers", "0", "-1")
                        return !(members.elements ?? []).contains { $0.text == "local w1" }
                    }
                    later = try await bench.requested()
                    allow.yield()
                }
                #expect(try await bench.now(environment).state == .running)
                let waiting = try #require(later)
                #expect(try await bench.now(waiting).state == .provisioning)
                #expect(await bench.provider.specs.count == 1)
                let job = try #require(waiting.pendingJob).id
                #expect(try await bench.fleet.provisionQueue.state(of: job) == .waiting)
            }
        }

        @Test func whatTakesTooLongIsPutBackAndDoneByAnother() async throws {
            try await withBench { bench in
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                await bench.provider.next(.start) {
                    begin.yield()
                    try await Task.sleep(for: .seconds(600))
                }
                let environment = try await bench.requested()
                let id = try #require(environment.pendingJob).id
                try await serving(worker(bench, "w1", drain: .milliseconds(50))) { _ in
                    for await _ in begun { break }
                }
                #expect(try await bench.now(environment).state == .provisioning)
                let job = try #require(try await bench.fleet.provisionQueue.job(id))
                #expect(try await bench.fleet.provisionQueue.state(of: id) == .waiting)
                #expect(job.attemptsMade == 0, "the attempt does not count")
                try await serving(worker(bench, "w2", drain: .seconds(30))) { _ in
                    try await eventually(describing: "VM running") {
                        try await bench.now(environment).state == .running
                    }
                }
                #expect(await bench.provider.specs.count == 1)
                let lines = try await bench.fleet.audit.list(environment: environment.id)
                #expect(lines.filter { $0.toState == .running }.map(\.actor) == [.worker("w2")])
                #expect(lines.allSatisfy { $0.errorCode == nil })
            }
        }

        @Test func aSetupUnderWayIsFinished() async throws {
            try await withBench { bench in
                var request = EnvironmentRequest(name: "set up", provider: "local")
                request.initScript = "true"
                let made = try await bench.fleet.environments.create(
                    request, for: try await bench.caller(), requestID: nil)
                try await bench.run(made)
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                let (allowed, allow) = AsyncStream.makeStream(of: Void.self)
                let setups = SetupRunner(fleet: bench.fleet, providers: ["local"], worker: "w", logger: quiet) { _ in
                    begin.yield()
                    for await _ in allowed { break }
                    return InitializationOutcome(
                        step: .script, reason: .exited, exitCode: 0, signal: nil, output: "", durationMs: 1)
                }
                try await serving({ await setups.run() }) { group in
                    for await _ in begun { break }
                    await group.triggerGracefulShutdown()
                    allow.yield()
                }
                #expect(try await bench.now(made).needsInitialization == false)
            }
        }
    }
}
