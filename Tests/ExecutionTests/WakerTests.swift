import Fleet
import Foundation
import JobQueue
import Synchronization
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

        /// A user's VMs may be on their way at the same time; who waits for one is not told of another.
        @Test func whoWaitsIsToldOfTheVMWaitedForOnly() async throws {
            try await withRunningVM { fleet, running in
                func move(_ vm: Environment, to state: EnvironmentState) async throws -> Environment {
                    let moved = try await fleet.environments.move(
                        vm.id, from: vm.state, generation: vm.generation, to: state, actor: .worker("w"),
                        action: "test")
                    return try #require(moved)
                }
                let stopping = try await fleet.environments.requestStop(running.id, actor: .system("test"))
                _ = try await move(stopping, to: .stopped)
                let vm = try await fleet.environments.requestStart(running.id, actor: .system("test"))
                let waker = Waker(fleet: fleet, startTimeout: .seconds(20), provisionTimeout: .seconds(20))
                let caller = Caller(
                    userID: vm.userID, tokenID: TokenID(), role: .user, scopes: [.user], tier: .free)
                let told = Mutex<[String]>([])
                async let woken = waker.wake(vm, for: caller, requestID: "r") { _, message in
                    told.withLock { $0.append(message) }
                }
                // Lines are followed once somebody listens for them, so they are written until one was told.
                try await eventually(describing: "a line of the VM's") {
                    await fleet.provisionLog.append(vm.userID, of: EnvironmentID(), .info, "another's")
                    await fleet.provisionLog.append(vm.userID, of: vm.id, .info, "its own")
                    return told.withLock { $0.contains("its own") }
                }
                let moved = try await move(vm, to: .running)
                #expect(try await woken.generation == moved.generation)
                #expect(!told.withLock { $0.contains("another's") })
            }
        }
    }
}
