import Foundation
import PostgreSQL
import Redis
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct SessionTests {
        static func presence(_ bench: Bench) -> SessionPresence {
            SessionPresence(
                redis: bench.redis, database: bench.pool, logger: quiet, lifetimeMs: 300,
                interval: .milliseconds(50), prefix: "test-\(UUID())")
        }

        @Test func anOpenSessionCountsUntilItIsLeft() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let presence = Self.presence(bench)
                let other = try await bench.vm(.running, of: try await bench.caller())
                let result = try await presence.withHold(on: vm.id, kind: "terminal") {
                    try await presence.withHold(on: vm.id, kind: "terminal") {
                        let counts = (try await presence.count(on: vm.id), try await presence.count(on: other.id))
                        #expect(counts == (2, 0))
                    }
                    #expect(try await presence.count(on: vm.id) == 1)
                    return 7
                }
                #expect(result == 7)
                #expect(try await presence.count(on: vm.id) == 0)
                await #expect(throws: CancellationError.self) {
                    try await presence.withHold(on: vm.id, kind: "terminal") { throw CancellationError() }
                }
                #expect(try await presence.count(on: vm.id) == 0)
            }
        }

        @Test func anOpenSessionHoldsTheIdleStopOff() async throws {
            try await withFleet { bench in
                let environments = bench.fleet.environments
                let vm = try await bench.vm(.running, of: try await bench.caller())
                try await SweepTests.idle(bench, vm, minutes: 90)
                let presence = Self.presence(bench)
                #expect(try await environments.idleCandidates().count == 1)
                try await presence.withHold(on: vm.id, kind: "terminal") {
                    #expect(try await environments.idleCandidates().isEmpty)
                    try await SweepTests.idle(bench, vm, minutes: 90)
                    try await eventually(describing: "the next beat") {
                        try await environments.idleCandidates().isEmpty
                    }
                    // Redis lost it: told again with the next beat.
                    try await bench.redis.command("DEL", "\(presence.prefix):sessions:\(vm.id)")
                    try await eventually(describing: "session told again") { try await presence.count(on: vm.id) == 1 }
                }
                #expect(try await environments.idleCandidates().isEmpty, "it is idle from now on, not since long")
            }
        }

        @Test func oneWhoseGatewayDiedIsForgotten() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                var presence = Self.presence(bench)
                presence.interval = .seconds(60)
                try await presence.withHold(on: vm.id, kind: "terminal") {
                    #expect(try await presence.count(on: vm.id) == 1)
                    try await eventually(describing: "silent session gone") {
                        try await presence.count(on: vm.id) == 0
                    }
                }
            }
        }
    }
}
