import Fleet
import Foundation
import JobQueue
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
    }
}
