import Fleet
import JobQueue
import Providers
import Redis
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct HandlerTests {
        @Test func aProvisionJobRunTwiceMakesOneVMAndMovesItsRowOnce() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                #expect(try await bench.run(requested) == #"{"result":"running"}"#)
                let made = try await bench.now(requested)
                #expect(made.state == .running && made.providerInstanceID == "mlt-\(made.id)")
                #expect(
                    made.endpoint
                        == EnvironmentEndpoint(host: "127.0.0.1", port: 2_200, user: "martlet", runnerPort: 4_611))
                let spec = try #require(await bench.provider.specs.first)
                #expect(spec.authorizedKeys == [made.clientPublicKey] && spec.memoryMb == made.memoryMb)

                let again = try #require(try await bench.run(requested))
                #expect(again.contains("nothing to do"))
                #expect(try await bench.now(requested) == made)
                #expect(await bench.provider.calls(of: .create) == 1)
                #expect(await bench.provider.calls(of: .start) == 1)
            }
        }

        @Test func whatMayPassIsTriedAgainAndTheLastAttemptSaysWhy() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                for (attempt, operation) in [(1, ScriptedProvider.Operation.create), (2, .start)] {
                    await bench.provider.fail(next: operation, isRetryable: true)
                    await #expect(throws: ProviderError.self) { try await bench.run(requested, attempt: attempt) }
                    let now = try await bench.now(requested)
                    #expect(now.state == .provisioning && now.generation == requested.generation)
                }
                #expect(await bench.provider.specs.count == 1, "the second attempt carries on from the first")
                await bench.provider.fail(next: .start, isRetryable: true)
                await #expect(throws: UnrecoverableJobError.self) { try await bench.run(requested, attempt: 3) }
                let failed = try await bench.now(requested)
                #expect(failed.state == .error && failed.errorMessage == "The host is full. Add a host.")
            }
        }

        /// Its worker died right after the move: the next one that takes the job says what it did not.
        @Test func theEndOfAProvisionIsToldAlthoughItsWorkerDied() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                try await bench.run(requested)
                try await bench.fleet.redis.command("DEL", "provision-logs:\(requested.userID)")
                try await bench.run(requested)
                let log = try await bench.fleet.provisionLog.recent(requested.userID)
                #expect(log.map(\.message) == ["Provisioning complete: the VM is running."])
                #expect(log.map(\.level) == [.success])
            }
        }

        /// A Docker that is restarted, say.
        @Test(arguments: [EnvironmentState.provisioning, .starting, .stopping, .destroying])
        func anEngineThatIsAwaySpendsNoAttempt(state: EnvironmentState) async throws {
            try await withBench { bench in
                let environment = try await bench.entering(state)
                let handler = bench.handler
                await bench.provider.setReachable(false)
                for _ in 0..<5 {
                    await #expect(throws: DelayedJob.self) { try await bench.run(environment, attempt: 2, by: handler) }
                }
                let now = try await bench.now(environment)
                #expect(now.state == state && now.generation == environment.generation)
                let told = try await bench.fleet.provisionLog.recent(environment.userID)
                #expect(told.filter { $0.message.contains("does not answer") }.count == 1)
                await bench.provider.setReachable(true)
                try await bench.run(environment, attempt: 2, by: handler)
                #expect(try await bench.now(environment).state == environment.pendingJob?.action.outcome)
            }
        }

        @Test func anEngineThatStaysAwayFailsTheStart() async throws {
            try await withBench { bench in
                let environment = try await bench.entering(.starting)
                var configuration = WorkerConfiguration(name: "w")
                configuration.outageLimit = .zero
                let handler = JobHandler(
                    fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration,
                    logger: quiet)
                await bench.provider.setReachable(false)
                await #expect(throws: ProviderError.self) { try await bench.run(environment, by: handler) }
                await #expect(throws: UnrecoverableJobError.self) {
                    try await bench.run(environment, attempt: 2, by: handler)
                }
                let failed = try await bench.now(environment)
                #expect(failed.state == .error && failed.errorMessage == "The engine does not answer. Start it.")
            }
        }

        @Test func jobsRestLongerTheLongerTheOutageLasts() {
            let outages = Outages(limit: .seconds(300))
            let began = ContinuousClock.now
            func rest(_ job: String, after seconds: Int) -> Duration? {
                outages.rest(job, awaiting: "docker", now: began + .seconds(seconds))?.duration
            }
            #expect(rest("a", after: 0) == .seconds(1) && rest("a", after: 1) == .seconds(1))
            #expect(rest("a", after: 6) == .seconds(6) && rest("b", after: 60) == .seconds(15))
            #expect(rest("a", after: 299) == .seconds(15) && rest("a", after: 300) == nil)
            outages.end("docker")
            #expect(rest("a", after: 301) == .seconds(1), "another outage")
        }

        @Test func whatWillNotPassIsNotTriedAgain() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                await bench.provider.fail(next: .create, isRetryable: false)
                await #expect(throws: UnrecoverableJobError.self) { try await bench.run(requested) }
                let failed = try await bench.now(requested)
                #expect(failed.state == .error && failed.errorMessage == "The host is full. Add a host.")
                let told = try await bench.fleet.provisionLog.recent(requested.userID).last
                #expect(told?.level == .error && told?.message == failed.errorMessage)
            }
        }

        @Test func aVMThatItsProviderLostIsMadeAgainByTheNextStart() async throws {
            try await withBench { bench in
                let stopped = try await bench.vm(.stopped)
                let instance = try #require(stopped.instanceID)
                await bench.provider.set(instance, to: .missing)
                try await bench.run(try await bench.fleet.environments.requestStart(stopped.id, actor: .system("test")))
                #expect(try await bench.now(stopped).state == .running)
                #expect(await bench.provider.state(of: instance) == .running)
                #expect(await bench.provider.calls(of: .create) == 2)
            }
        }

        @Test func aVMThatWasNeverMadeCanBeDestroyed() async throws {
            try await withBench { bench in
                let requested = try await bench.requested()
                await bench.provider.fail(next: .create, isRetryable: false)
                await #expect(throws: UnrecoverableJobError.self) { try await bench.run(requested) }
                // What the failed attempt had made before it failed goes too, although the row does not name it.
                #expect(await bench.provider.specs.count == 1)
                try await bench.run(try await bench.fleet.environments.recover(requested.id, actor: .system("test")))
                #expect(try await bench.now(requested).state == .destroyed)
                #expect(await bench.provider.specs.isEmpty)
                #expect(try await bench.fleet.environments.userVM(of: requested.userID) == nil)
            }
        }
    }
}
