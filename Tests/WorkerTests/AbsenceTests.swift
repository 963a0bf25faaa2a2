import Fleet
import Foundation
import JobQueue
import PostgreSQL
import Providers
import TestSupport
import Testing

@testable import Worker

extension Live {
    /// A worker that has not the provider which a job needs.
    @Suite struct AbsenceTests {
        func foreign(_ bench: Bench) async throws -> Environment {
            try await bench.fleet.environments.create(
                EnvironmentRequest(name: "elsewhere", provider: "docker"), for: try await bench.caller(),
                requestID: nil)
        }

        @Test func itsJobIsPutBackAndSpendsNoAttempt() async throws {
            try await withBench { bench in
                let environment = try await foreign(bench)
                await #expect(throws: DelayedJob.self) { try await bench.run(environment) }
                #expect(try await bench.now(environment).state == .provisioning)
                #expect(await bench.provider.specs.isEmpty)
            }
        }

        @Test func whatNobodyTakesEndsInAnErrorThatNamesTheProvider() async throws {
            try await withBench { bench in
                let environment = try await foreign(bench)
                try await bench.pool.execute(
                    "UPDATE dev_environments SET state_changed_at = now() - interval '301 seconds'")
                await #expect(throws: UnrecoverableJobError.self) {
                    try await bench.run(try await bench.now(environment))
                }
                let now = try await bench.now(environment)
                #expect(now.state == .error)
                #expect(try #require(now.errorMessage).contains("--provider docker"))
            }
        }

        /// Of a stopped machine nobody asks, so nobody hears that it has vanished.
        @Test func aStoppedVMThatVanishedIsReported() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.stopped)
                await bench.provider.set(try #require(vm.instanceID), to: .missing)
                try await bench.reconciler.sweep(strayAge: .zero)
                #expect(try await bench.now(vm).state == .error)
                #expect(try await bench.now(vm).errorMessage == "The VM is gone at its provider.")
            }
        }
    }
}
