import Cryptography
import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct SecretTests {
        @Test func secretsAreMadeOnceWhoeverAsks() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let servers = [bench.fleet, try bench.another()]
                let made = try await withThrowingTaskGroup(of: EnvironmentSecrets.self) { group in
                    for number in 0..<10 {
                        group.addTask { try await servers[number % 2].environments.secrets(for: vm.id) }
                    }
                    return try await group.reduce(into: Set<EnvironmentSecrets>()) { $0.insert($1) }
                }
                #expect(made.count == 1)
                let secrets = try #require(made.first)
                let connection = try #require(try await bench.fleet.environments.connection(of: vm.id))
                #expect(connection.privateKey == secrets.clientKey.privateKey)
                #expect(connection.hostKey == secrets.hostKey.publicKey && connection.runnerSecret.utf8.count == 64)
                #expect(connection.host == "127.0.0.1" && connection.port == 2_222)
                let stored = try await bench.fleet.environments.find(vm.id)
                #expect(stored?.clientPublicKey == secrets.clientKey.publicKey)
                #expect(!"\(connection) \(secrets)".contains(secrets.runnerSecret))
            }
        }

        @Test func whatIsAtRestIsSealedAndOpensWithItsKeyOnly() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller()
                let vm = try await bench.vm(.running, of: caller)
                let secrets = try await bench.fleet.environments.secrets(for: vm.id)
                let row = try #require(
                    try await bench.pool.query(
                        "SELECT encode(secrets, 'escape') AS sealed, e::text AS text FROM dev_environments e"
                    ).first)
                let text = try row.decode("sealed", as: String.self) + row.decode("text", as: String.self)
                for secret in [secrets.runnerSecret, "PRIVATE KEY", "privateKey"] { #expect(!text.contains(secret)) }

                let stranger = try bench.another(key: [UInt8](repeating: 8, count: 32))
                let error = await #expect(throws: ServiceError.self) {
                    try await stranger.environments.connection(of: vm.id)
                }
                #expect(error?.code == .internalError && error?.cause is CryptographyError)
                #expect(error.map { "\($0)".contains(secrets.runnerSecret) } == false)

                // Moved to another row it does not open either.
                let other = try await bench.vm(.running, of: try await bench.caller())
                try await bench.pool.execute(
                    """
                    UPDATE dev_environments SET secrets = (SELECT secrets FROM dev_environments WHERE id = \(vm.id))
                    WHERE id = \(other.id)
                    """)
                await #expect(throws: ServiceError.self) {
                    try await bench.fleet.environments.connection(of: other.id)
                }
            }
        }

        @Test func environmentsOfOthersAreNotThere() async throws {
            try await withFleet { bench in
                let owner = try await bench.caller()
                let stranger = try await bench.caller()
                let vm = try await bench.vm(.running, of: owner)
                let environments = bench.fleet.environments
                #expect(try await environments.find(vm.id, owner: owner.userID) == vm)
                #expect(try await environments.find(slug: vm.slug, owner: owner.userID) == vm)
                #expect(try await environments.find(vm.id, owner: stranger.userID) == nil)
                #expect(try await environments.find(slug: vm.slug, owner: stranger.userID) == nil)
                #expect(try await environments.list(owner: stranger.userID).isEmpty)
                #expect(try await environments.userVM(of: stranger.userID) == nil)
                #expect(try await environments.list(states: [.running]).map(\.id) == [vm.id])
                #expect(try await environments.list(states: [.running], unchangedFor: .seconds(60)).isEmpty)
                #expect(try await environments.list(states: [.running], after: vm.id).isEmpty)
            }
        }
    }
}
