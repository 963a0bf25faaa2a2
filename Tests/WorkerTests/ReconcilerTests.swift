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
                try await bench.reconcile(strayAge: .zero)
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
                #expect(try await bench.reconciler.compare(vm, bench.provider) == .asRecorded)
                let now = try await bench.now(vm)
                #expect(now.state == .destroying && now.generation == vm.generation + 1)
                #expect(now.endpoint == vm.endpoint)
            }
        }

        /// A start that was late: when its VM ran at last, the row had been given up.
        @Test func aVMThatRunsBesideAFailedRowIsStopped() async throws {
            try await withBench { bench in
                let stopped = try await bench.vm(.stopped)
                let starting = try await bench.fleet.environments.requestStart(stopped.id, actor: .system("test"))
                await bench.provider.next(.start) {
                    _ = try await bench.fleet.environments.move(
                        starting.id, from: .starting, generation: starting.generation, to: .error,
                        change: EnvironmentChange(errorMessage: "late"), actor: .system("test"), action: "sweep")
                }
                let result = try #require(try await bench.run(starting))
                #expect(result.contains("moved by somebody else"))
                let instance = try #require(starting.instanceID)
                #expect(await bench.provider.state(of: instance) == .running)

                try await bench.reconcile(strayAge: .seconds(60))
                #expect(await bench.provider.state(of: instance) == .running, "somebody may be at work on it")
                let failed = try await bench.now(starting)
                try await bench.reconcile(strayAge: .zero)
                #expect(await bench.provider.state(of: instance) == .stopped)
                #expect(try await bench.now(starting) == failed, "why it failed is still to be read")
            }
        }

        @Test func oneVMThatCannotBeStoppedKeepsNoOtherRunning() async throws {
            try await withBench { bench in
                let vms = [try await bench.vm(.stopped), try await bench.vm(.stopped)]
                let running = try await bench.vm(.running)
                let instances = try vms.map { try #require($0.instanceID) }
                for instance in instances { await bench.provider.set(instance, to: .running) }
                let before = await bench.provider.calls(of: .stop)
                await bench.provider.fail(next: .stop, isRetryable: true)
                try await bench.reconcile(strayAge: .zero)
                #expect(await bench.provider.calls(of: .stop) == before + 2)
                #expect(await bench.provider.state(of: try #require(running.instanceID)) == .running)
            }
        }

        /// A user starts the VM just when the sweep takes it for a stray.
        @Test func aStartThatMeetsTheStopOfAStrayIsNotLeftRunningInTheRowOnly() async throws {
            try await withBench { bench in
                let stopped = try await bench.vm(.stopped)
                let instance = try #require(stopped.instanceID)
                await bench.provider.set(instance, to: .running)
                await bench.provider.next(.stop) {
                    let starting = try await bench.fleet.environments.requestStart(stopped.id, actor: .system("test"))
                    try await bench.run(starting)
                    await bench.provider.set(instance, to: .stopped)
                }
                try await bench.reconcile(strayAge: .zero)
                #expect(try await bench.now(stopped).state == .stopped)
            }
        }
    }
}
