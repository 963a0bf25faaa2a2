import Cryptography
import Fleet
import Foundation
import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Execution

extension Live {
    @Suite struct WakerTests {
        /// What became of a VM that could not be reached is known as soon as a worker has looked, also if it runs.
        @Test func aVMThatWasFoundRunningIsTriedAgainAtOnce() async throws {
            try await withRunningVM { fleet, environment in
                let waker = Waker(fleet: fleet, startTimeout: .seconds(20), provisionTimeout: .seconds(20))
                let began = ContinuousClock.now
                async let found = waker.reconcile(environment, requestID: "r", because: Unexpected(what: "no answer"))
                try await eventually(describing: "a job to look after the VM") {
                    try await fleet.controlQueue.counts()[.waiting, default: 0] == 1
                }
                await fleet.signals.publish(environment)  // as the worker does that finds it as recorded
                #expect(try await found.generation == environment.generation)
                #expect(ContinuousClock.now - began < .seconds(10))
            }
        }

        private func withRunningVM(_ body: (Fleet, Environment) async throws -> Void) async throws {
            try await LivePostgres.withDatabase { pool in
                _ = try await Migrator(pool: pool, migrations: Fleet.migrations).run()
                try await withRedis { redis in
                    let fleet = Fleet(
                        database: pool, redis: redis, secrets: try SecretBox(key: [UInt8](repeating: 7, count: 32)),
                        configuration: FleetConfiguration(queuePrefix: "test-\(UUID())"), logger: quiet)
                    let user = try await fleet.users.create(name: "user", role: .user, tier: .free, by: .system("test"))
                    let caller = Caller(
                        userID: user.id, tokenID: TokenID(), role: .user, scopes: [.user], tier: .free)
                    let made = try await fleet.environments.createUserVM(
                        for: caller, requestID: "r", provider: "local")
                    let running = try await fleet.environments.move(
                        made.id, from: made.state, generation: made.generation, to: .running, actor: .worker("w"),
                        action: "test")
                    try await body(fleet, try #require(running))
                }
            }
        }
    }
}
