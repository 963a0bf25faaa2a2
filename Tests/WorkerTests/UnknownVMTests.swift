import Cryptography
import Fleet
import JobQueue
import Providers
import Testing

@testable import Worker

extension Live {
    @Suite struct UnknownVMTests {
        /// A VM of the bench's provider that no row knows, found by a round of the reconciler.
        func found(_ bench: Bench, _ name: String = "somebody-elses") async throws -> VMInstance {
            let vm = try await bench.provider.create(VMSpec.nobodys(name), log: .none)
            try await bench.reconcile(strayAge: .zero)
            return vm
        }

        @Test func itIsFoundAndListedAndLeftAlone() async throws {
            try await withBench { bench in
                let known = try await bench.vm(.running)
                let vms = [try await found(bench), try await found(bench, "mlt-\(EnvironmentID())")]
                try await bench.reconcile(strayAge: .zero)
                let listed = try await bench.fleet.unknownVMs.list()
                #expect(Set(listed.map(\.externalID)) == Set(vms.map(\.id.rawValue)))
                for vm in vms { #expect(await bench.provider.state(of: vm.id) == .stopped) }
                #expect(try await bench.now(known) == known)

                for vm in vms { await bench.provider.set(vm.id, to: .missing) }
                try await bench.reconcile(strayAge: .zero)
                #expect(try await bench.fleet.unknownVMs.list().isEmpty)
            }
        }

        @Test func itIsDestroyedOnAnAdminsWordAlsoTwice() async throws {
            try await withBench { bench in
                let vm = try await found(bench)
                let queue = bench.fleet.controlQueue
                try await bench.fleet.unknownVMs.requestDestroy(
                    provider: "local", id: vm.id.rawValue, by: .system("test"), requestID: "r")
                let job = try #require(try await queue.jobs(in: .waiting).first { $0.name == UnknownVMJob.name })
                await bench.provider.fail(next: .destroy, isRetryable: true)
                await #expect(throws: ProviderError.self) { try await bench.run(job.id, in: queue) }
                #expect(try await bench.fleet.unknownVMs.list().count == 1, "it can be asked for again")
                for _ in 0..<2 { #expect(try await bench.run(job.id, in: queue) == #"{"result":"destroyed"}"#) }
                #expect(await bench.provider.state(of: vm.id) == .missing)
                #expect(try await bench.fleet.unknownVMs.list().isEmpty)
                var filter = AuditFilter()
                filter.action = "unknown_vm.destroyed"
                let line = try #require(try await bench.fleet.audit.search(filter).first)
                #expect(line.requestID == "r" && line.errorCode == nil && line.detail["vm"] == vm.id.rawValue)
            }
        }

        /// Between the admin's word and the job.
        @Test func whatAnEnvironmentHasComeToKnowIsKept() async throws {
            try await withBench { bench in
                let vm = try await found(bench)
                let queue = bench.fleet.controlQueue
                try await bench.fleet.unknownVMs.requestDestroy(
                    provider: "local", id: vm.id.rawValue, by: .system("test"))
                let job = try #require(try await queue.jobs(in: .waiting).first { $0.name == UnknownVMJob.name })
                let requested = try await bench.requested()
                try await bench.fleet.environments.setProviderInstance(vm.id.rawValue, of: requested)
                await #expect(throws: UnrecoverableJobError.self) { try await bench.run(job.id, in: queue) }
                #expect(await bench.provider.state(of: vm.id) == .stopped)
                #expect(try await bench.fleet.unknownVMs.list().isEmpty)
                let line = try await bench.fleet.audit.list(environment: requested.id).first
                #expect(line?.action == "unknown_vm.destroyed" && line?.errorCode == "vm_known")
            }
        }
    }
}

extension VMSpec {
    static func nobodys(_ name: String) throws -> VMSpec {
        VMSpec(
            name: name, vcpus: 1, memoryMb: 256, diskMb: 64, processes: 64, authorizedKeys: [],
            hostKey: try SSHKeyPair.generate(comment: ""), runnerSecret: String(repeating: "0", count: 64))
    }
}
