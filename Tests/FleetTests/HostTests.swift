import Foundation
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

@Suite struct HostStateTests {
    @Test(arguments: HostState.allCases) func aHostCanBeTakenOutOfAnyStateAndIsNeverItsOwnSuccessor(_ state: HostState)
    {
        #expect(!state.successors.contains(state))
        #expect(!state.successors.contains(.lost), "that is for its agent's silence to say")
        #expect(state.successors.contains(.cordoned) || state == .cordoned)
    }
}

extension Live {
    @Suite struct HostTests {
        static let system = AuditActor.system("test")

        static func host(_ bench: Bench, _ name: String, vcpus: Int = 64, memoryMb: Int, diskMb: Int = 1 << 20)
            async throws -> VMHost
        {
            try await bench.fleet.hosts.add(
                name: name, address: "10.0.0.1",
                capacity: MachineSize(vcpus: vcpus, memoryMb: memoryMb, diskMb: diskMb), by: system)
        }

        @Test func theHostThatIsLeftWithTheLeastMemoryIsChosen() async throws {
            try await withFleet { bench in
                let caller = try await bench.caller(tier: .unlimited)
                func place(_ memoryMb: Int, vcpus: Int = 1, diskMb: Int = 1_024) async throws -> String? {
                    let made = try await bench.create(for: caller, provider: "firecracker") {
                        $0.memoryMb = memoryMb
                        $0.vcpus = vcpus
                        $0.diskMb = diskMb
                    }
                    return try await bench.fleet.hosts.find(try #require(made.hostID))?.name
                }
                let none = await refusal { _ = try await place(1_024) }
                #expect(none?.code == .noHostAvailable)
                _ = try await Self.host(bench, "large", memoryMb: 16_384)
                _ = try await Self.host(bench, "small", vcpus: 4, memoryMb: 4_096, diskMb: 4_096)
                #expect(try await place(1_024) == "small")
                #expect(try await place(4_096) == "large", "it does not fit on the small one any more")
                #expect(try await place(3_072, diskMb: 3_073) == "large", "nor does its disk")
                #expect(try await place(1_024, vcpus: 4) == "large", "nor do its processors")
                #expect(try await place(3_072, vcpus: 3, diskMb: 3_072) == "small", "to the last byte")
                let full = await refusal { _ = try await place(8_193) }
                #expect(full?.code == .noHostAvailable && full?.message.contains("8193 MB") == true)
                let small = try #require(try await bench.fleet.hosts.find("small"))
                #expect(small.free == MachineSize(vcpus: 0, memoryMb: 0, diskMb: 0) && small.environments == 2)
                let local = try await bench.create(for: caller)
                #expect(local.hostID == nil, "other providers need none")
                #expect(try await bench.fleet.audit.search(Self.refused("no_host_available")).count == 2)
            }
        }

        static func refused(_ code: String) -> AuditFilter {
            var filter = AuditFilter()
            filter.errorCode = code
            return filter
        }

        @Test func whatIsDestroyedFreesItsHostAndWhatIsAsleepDoesNot() async throws {
            try await withFleet { bench in
                _ = try await Self.host(bench, "h1", memoryMb: 4_096)
                let caller = try await bench.caller(tier: .unlimited)
                func make() async throws -> Environment {
                    try await bench.create(for: caller, provider: "firecracker") { $0.memoryMb = 4_096 }
                }
                let first = try await make()
                try await bench.move(first, .running, .stopping, .stopped)
                #expect(await refusal { try await make() }?.code == .noHostAvailable)
                try await bench.move(first, .destroying, .destroyed)
                #expect(try await make().hostID == first.hostID)
            }
        }

        /// Three hosts with room for eight in all, and forty who want one, on two servers and of twenty users.
        @Test func howManyEverAskNoHostIsOverbooked() async throws {
            try await withFleet { bench in
                let room = ["a": 2, "b": 1, "c": 5]
                for (name, count) in room { _ = try await Self.host(bench, name, memoryMb: count * 2_048 + 2_047) }
                var callers: [Caller] = []
                for _ in 0..<20 { callers.append(try await bench.caller(tier: .unlimited)) }
                let servers = [bench.fleet, try bench.another()]
                let placed = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<40 {
                        group.addTask { [callers] in
                            var request = EnvironmentRequest(name: "box", provider: "firecracker")
                            request.memoryMb = 2_048
                            request.vcpus = 1
                            do {
                                try await servers[number % 2].environments.create(
                                    request, for: callers[number % 20], requestID: nil)
                                return true
                            } catch let error as ServiceError where error.code == .noHostAvailable {
                                return false
                            }
                        }
                    }
                    return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
                #expect(placed == 8)
                for host in try await bench.fleet.hosts.list() {
                    #expect(host.environments == room[host.name] && host.free.memoryMb == 2_047)
                }
            }
        }

        /// While some place, others take the host away and bring it back: what is placed was placed while it was ready.
        @Test func nothingIsPlacedOnAHostThatIsTakenAway() async throws {
            try await withFleet { bench in
                let hosts = bench.fleet.hosts
                _ = try await Self.host(bench, "h1", vcpus: 4_096, memoryMb: 1 << 22, diskMb: 1 << 24)
                let caller = try await bench.caller(tier: .unlimited)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<40 {
                        group.addTask {
                            do {
                                try await bench.create(for: caller, provider: "firecracker") { $0.memoryMb = 512 }
                            } catch let error as ServiceError where error.code == .noHostAvailable {}
                        }
                    }
                    for _ in 0..<10 {
                        try await hosts.cordon("h1", by: Self.system)
                        let before = try await hosts.find("h1")?.environments
                        #expect(try await hosts.find("h1")?.environments == before)
                        try await hosts.uncordon("h1", by: Self.system)
                    }
                    try await group.waitForAll()
                }
            }
        }

        /// A host with one environment that runs and one that sleeps.
        static func withOccupiedHost(_ body: (Bench, Environment, Environment) async throws -> Void) async throws {
            try await withFleet { bench in
                _ = try await host(bench, "h1", memoryMb: 1 << 20)
                let caller = try await bench.caller(tier: .unlimited)
                let running = try await bench.create(for: caller, provider: "firecracker")
                let asleep = try await bench.create(for: caller, provider: "firecracker")
                try await body(
                    bench, try await bench.move(running, .running),
                    try await bench.move(asleep, .running, .stopping, .stopped))
            }
        }

        @Test func aCordonedHostGoesOnWithWhatItHas() async throws {
            try await Self.withOccupiedHost { bench, running, asleep in
                let hosts = bench.fleet.hosts
                try await hosts.cordon("h1", by: Self.system, requestID: "r1")
                let caller = try await bench.caller()
                let error = await refusal { try await bench.create(for: caller, provider: "firecracker") }
                #expect(error?.code == .noHostAvailable)
                let started = try await bench.fleet.environments.requestStart(asleep.id, actor: Self.system)
                #expect(started.state == .starting)
                #expect(try await bench.fleet.environments.onDrainingHosts().isEmpty)
                let early = await refusal { try await hosts.maintenance("h1", by: Self.system) }
                #expect(early?.code == .illegalTransition && early?.message.contains("2 environments") == true)
                try await hosts.uncordon("h1", by: Self.system)
                try await bench.create(for: caller, provider: "firecracker")
                #expect(try await bench.fleet.environments.find(running.id) == running)
            }
        }

        @Test func aDrainedHostStartsNothingAndEndsInMaintenance() async throws {
            try await Self.withOccupiedHost { bench, running, asleep in
                let hosts = bench.fleet.hosts
                let environments = bench.fleet.environments
                #expect(try await hosts.drain("h1", by: Self.system).state == .draining)
                #expect(try await hosts.drain("h1", by: Self.system).state == .draining, "asked again")
                let error = await refusal { try await environments.requestStart(asleep.id, actor: Self.system) }
                #expect(error?.code == .hostUnavailable && error?.message.contains("draining") == true)
                #expect(try await environments.onDrainingHosts().map(\.id) == [running.id])
                #expect(try await hosts.settleDrained(by: Self.system).isEmpty)
                try await environments.requestStop(running.id, actor: Self.system)
                #expect(try await hosts.settleDrained(by: Self.system).isEmpty, "not yet stopped")
                try await bench.move(running, .stopped)
                #expect(try await hosts.settleDrained(by: Self.system) == ["h1"])
                #expect(try await hosts.find("h1")?.state == .maintenance)
                let second = await refusal { try await environments.requestStart(asleep.id, actor: Self.system) }
                #expect(second?.code == .hostUnavailable)
                try await hosts.uncordon("h1", by: Self.system)
                try await environments.requestStart(asleep.id, actor: Self.system)
                #expect(
                    try await Self.actions(bench)
                        == ["host.add", "host.drain", "host.drained", "host.uncordon"])
            }
        }

        static func actions(_ bench: Bench) async throws -> [String] {
            var filter = AuditFilter()
            filter.action = "host."
            return try await bench.fleet.audit.search(filter).reversed().map(\.action)
        }

        @Test func onlyAnEmptyHostIsRemoved() async throws {
            try await Self.withOccupiedHost { bench, running, asleep in
                let hosts = bench.fleet.hosts
                let error = await refusal { try await hosts.remove("h1", by: Self.system) }
                #expect(error?.code == .illegalTransition && error?.message.contains("2 environments") == true)
                try await bench.move(running, .destroying, .destroyed)
                try await bench.move(asleep, .destroying, .destroyed)
                try await hosts.remove("h1", by: Self.system)
                #expect(try await hosts.find("h1") == nil)
                #expect(try await bench.fleet.environments.find(asleep.id)?.hostID == nil)
                let missing = await refusal { try await hosts.cordon("h1", by: Self.system) }
                #expect(missing?.code == .hostNotFound)
                #expect(try await Self.actions(bench) == ["host.add", "host.remove"])
            }
        }

        @Test func hostsAreListedByNameAndNamedOnce() async throws {
            try await withFleet { bench in
                for name in ["b", "c", "a"] { _ = try await Self.host(bench, name, memoryMb: 1) }
                let hosts = bench.fleet.hosts
                #expect(try await hosts.list(limit: 2).map(\.name) == ["a", "b"])
                #expect(try await hosts.list(after: "b").map(\.name) == ["c"])
                #expect(await refusal { try await Self.host(bench, "a", memoryMb: 1) }?.code == .alreadyExists)
                for name in ["", "a b", "a\0", "a/b"] {
                    #expect(await refusal { try await Self.host(bench, name, memoryMb: 1) }?.code == .invalidRequest)
                    #expect(try await hosts.find(name) == nil)
                }
                #expect(await refusal { try await Self.host(bench, "d", memoryMb: 0) }?.code == .invalidRequest)
            }
        }
    }
}
