import EventLoop
import Fleet
import Providers
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct ReconcilerTests {
        @Test(arguments: [(VMStatus.stopped, EnvironmentState.stopped), (.missing, .error), (.error, .error)])
        func aVMThatRunsNoMoreIsRecorded(found: VMStatus, recorded: EnvironmentState) async throws {
            try await withBench { bench in
                let (vm, bystander) = (try await bench.vm(.running), try await bench.vm(.running))
                await bench.provider.set(try #require(vm.instanceID), to: found)
                try await bench.reconciler.sweep()
                let now = try await bench.now(vm)
                #expect(now.state == recorded && (now.errorMessage == nil) == (recorded == .stopped))
                #expect(try await bench.now(bystander) == bystander)
            }
        }

        @Test func aVMThatMovedIsRecordedWhereItIsAndTold() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                await bench.provider.move(try #require(vm.instanceID), toPort: 2_999)
                let job = try await bench.fleet.environments.requestReconcile(vm)
                try await bench.fleet.signals.withSubscription(to: vm.id) { signals in
                    try await bench.run(job, in: bench.fleet.controlQueue)
                    let told = try await withDeadline(.seconds(5), "signal of the environment") {
                        try await signals.first { _ in true }
                    }
                    #expect(told == .moved(.running, generation: vm.generation, message: nil))
                }
                let now = try await bench.now(vm)
                #expect(now.endpoint?.port == 2_999 && now.state == .running && now.generation == vm.generation)
            }
        }

        /// The row is moved by its user between the look at the provider and the compare-and-set.
        @Test(arguments: [VMStatus.stopped, .missing, .running])
        func whoeverIsFasterIsRight(found: VMStatus) async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.running)
                let instance = try #require(vm.instanceID)
                await bench.provider.move(instance, toPort: 2_999)
                await bench.provider.set(instance, to: found)
                await bench.provider.next(.status) {
                    try await bench.fleet.environments.requestDestroy(vm.id, actor: .system("test"))
                }
                #expect(try await bench.reconciler.compare(vm) == .asRecorded)
                let now = try await bench.now(vm)
                #expect(now.state == .destroying && now.generation == vm.generation + 1)
                #expect(now.endpoint == vm.endpoint)
            }
        }
    }
}
