import Fleet
import JobQueue
import Providers
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
