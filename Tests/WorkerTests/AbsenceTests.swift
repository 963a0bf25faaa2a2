import Fleet
import Foundation
@testable import JobQueue
import PostgreSQL
import Providers
import Redis
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

        /// As if every living worker had had the time to tell of itself.
        func letPresenceBeTrusted(_ bench: Bench) async throws {
            try await bench.fleet.redis.command("SET", "martlet:workers:since", "1")
        }

        func wait(_ bench: Bench, seconds: Int) async throws {
            try await bench.pool.execute(
                "UPDATE dev_environments SET state_changed_at = now() - make_interval(secs => \(seconds))")
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
                try await wait(bench, seconds: 301)
                try await letPresenceBeTrusted(bench)
                await #expect(throws: UnrecoverableJobError.self) {
                    try await bench.run(try await bench.now(environment))
                }
                let now = try await bench.now(environment)
                #expect(now.state == .error)
                #expect(try #require(now.errorMessage).contains("--provider docker"))
            }
        }

        /// All that have it are busy: that is no reason to give up.
        @Test func whatALivingWorkerCouldTakeIsWaitedFor() async throws {
            try await withBench { bench in
                let environment = try await foreign(bench)
                try await wait(bench, seconds: 3_600)
                let workers = bench.fleet.workers
                try await beside({ try await workers.beat("busy", providers: ["docker", "ovh"]) }) {
                    try await letPresenceBeTrusted(bench)
                    try await eventually(describing: "the other worker's word") {
                        try await workers.providers()?.contains("docker") == true
                    }
                    await #expect(throws: DelayedJob.self) { try await bench.run(try await bench.now(environment)) }
                }
                try await workers.leave("busy", providers: ["docker", "ovh"])
                try await bench.fleet.redis.command("DEL", "martlet:workers:since")
                await #expect(throws: DelayedJob.self, "Redis lost its data: who lives is not known yet") {
                    try await bench.run(try await bench.now(environment))
                }
                try await letPresenceBeTrusted(bench)
                await #expect(throws: UnrecoverableJobError.self) {
                    try await bench.run(try await bench.now(environment))
                }
                #expect(try await bench.now(environment).state == .error)
            }
        }

        /// It waits from its own beginning, however long the machine has run.
        @Test func aComparisonIsLeftToAWorkerThatCanMakeIt() async throws {
            try await withBench { bench in
                let made = try await foreign(bench)
                let running = try #require(
                    try await bench.fleet.environments.move(
                        made.id, from: .provisioning, generation: made.generation, to: .running,
                        actor: .system("test"), action: "test"))
                try await bench.pool.execute(
                    "UPDATE dev_environments SET state_changed_at = now() - interval '1 day'")
                let queue = bench.fleet.controlQueue
                let id = try await bench.fleet.environments.requestReconcile(running)
                await #expect(throws: DelayedJob.self) { try await bench.run(id, in: queue) }
                try await bench.fleet.redis.command("HSET", "\(queue.key(id))", "timestamp", "1")
                try await letPresenceBeTrusted(bench)
                let given = try await bench.run(id, in: queue)
                #expect(given?.contains("no worker has its provider") == true)
                #expect(try await bench.now(made).state == .running)
            }
        }

        /// Of a stopped machine nobody asks, so nobody hears that it has vanished.
        @Test func aStoppedVMThatVanishedIsReported() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.stopped)
                await bench.provider.set(try #require(vm.instanceID), to: .missing)
                try await bench.reconcile(strayAge: .zero)
                #expect(try await bench.now(vm).state == .error)
                #expect(try await bench.now(vm).errorMessage == "The VM is gone at its provider.")
            }
        }
    }
}
