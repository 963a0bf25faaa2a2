import JobQueue
import PostgreSQL
import TestSupport
import Testing

@testable import Fleet

extension Live {
    @Suite struct UnknownVMTests {
        @Test func eachRoundReplacesWhatTheLastHasFoundAtItsProvider() async throws {
            try await withFleet { bench in
                let unknown = bench.fleet.unknownVMs
                #expect(try await unknown.record(["a": "x", "b": "y"], of: "local").map(\.externalID) == ["a", "b"])
                #expect(try await unknown.record(["a": "other"], of: "docker").count == 1)
                try await bench.pool.execute(
                    "UPDATE unknown_vms SET first_seen_at = now() - interval '1 h', last_seen_at = first_seen_at")
                #expect(try await unknown.record(["b": "y2", "c": "z"], of: "local").map(\.externalID) == ["c"])

                let local = try await unknown.list(provider: "local")
                #expect(local.map(\.externalID) == ["b", "c"] && local.map(\.name) == ["y2", "z"])
                #expect(local[0].firstSeenAt < local[1].firstSeenAt && local[0].lastSeenAt == local[1].lastSeenAt)
                #expect(try await unknown.counts() == ["local": 2, "docker": 1])
                let all = try await unknown.list(limit: 2)
                #expect(all.map(\.provider) == ["docker", "local"])
                #expect(
                    try await unknown.list(limit: 2, after: all.last.map { ($0.provider, $0.externalID) }).map(
                        \.externalID) == ["c"])

                try await unknown.record([:], of: "local")
                #expect(try await unknown.counts() == ["docker": 1])
            }
        }

        @Test func itsDestructionIsQueuedAndAuditedOnceAMinute() async throws {
            try await withFleet { bench in
                let unknown = bench.fleet.unknownVMs
                try await unknown.record(["0a:1/b": "box"], of: "docker")
                for request in ["r1", "r2"] {
                    try await unknown.requestDestroy(
                        provider: "docker", id: "0a:1/b", by: .system("test"), requestID: request)
                }
                let jobs = try await bench.fleet.controlQueue.jobs(in: .waiting)
                // Two, should a minute have begun between the requests.
                #expect((1...2).contains(jobs.count) && jobs.allSatisfy { $0.name == "vm.destroyUnknown" })
                let order = try UnknownVMJob(json: try #require(jobs.first).data)
                #expect(order.provider == "docker" && order.externalID == "0a:1/b" && order.vmName == "box")
                #expect(try await bench.count("SELECT count(*) FROM job_outbox") == 0)
                var filter = AuditFilter()
                filter.action = "unknown_vm"
                let lines = try await bench.fleet.audit.search(filter)
                #expect(lines.map(\.requestID) == ["r2", "r1"])
                #expect(lines[0].errorCode == nil && lines[0].detail["vm"] == "0a:1/b")
                #expect(
                    await refusal { try await unknown.requestDestroy(provider: "docker", id: "no", by: .system("t")) }?
                        .code == .vmNotFound)
            }
        }

        @Test func whatAnEnvironmentKnowsByNowIsNotDestroyed() async throws {
            try await withFleet { bench in
                let vm = try await bench.vm(.running, of: try await bench.caller())
                let named = try await bench.create(for: try await bench.caller())
                let unknown = bench.fleet.unknownVMs
                try await unknown.record(
                    [try #require(vm.providerInstanceID): "?", "elsewhere": named.vmName], of: "local")
                for (id, environment) in [(try #require(vm.providerInstanceID), vm), ("elsewhere", named)] {
                    #expect(
                        await refusal { try await unknown.requestDestroy(provider: "local", id: id, by: .system("t")) }?
                            .code == .vmKnown)
                    let line = try await bench.fleet.audit.list(environment: environment.id).first
                    #expect(line?.action == "unknown_vm.destroy" && line?.errorCode == "vm_known")
                }
                #expect(try await unknown.list().isEmpty)
                #expect(try await bench.fleet.controlQueue.jobs(in: .waiting).isEmpty)
            }
        }
    }
}
