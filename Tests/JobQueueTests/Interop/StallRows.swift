import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live.Interop {
    /// Rows 16 and 17: a worker is killed, and the other kind takes its job over.
    @Suite struct StallRows {
        private static let recovery: JSON = ["lockDuration": 1_000, "stalledInterval": 300]

        @Test(arguments: Generation.allCases)
        func row16And17TheirWorkerRecoversOurs(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let once = try await python.add(bull.queue, "once", data: ["hang": 1])
                try await Self.takeAndDie(once, in: bull)
                try await python.working(bull.queue, Self.recovery) {
                    let job = try #require(try await bull.job(once, in: .completed))
                    #expect(job.stalledCount == 1 && job.attemptsStarted == 2 && job.attemptsMade == 1)
                }
                let told = try await bull.events(of: once)
                #expect(told.suffix(4) == ["waiting", "stalled", "active", "completed"])

                let twice = try await python.add(bull.queue, "twice", data: ["hang": 9])
                for _ in 0..<2 { try await Self.takeAndDie(twice, in: bull) }
                try await python.working(bull.queue, Self.recovery) {
                    let job = try #require(try await bull.job(twice, in: .failed))
                    #expect(job.failedReason == "job stalled more than allowable limit" && job.stalledCount == 2)
                    #expect(job.attemptsStarted == 3 && job.attemptsMade == 1 && job.deferredFailure == nil)
                }
                #expect(try await python.starts(of: [twice], in: bull.queue).isEmpty)  // failed without being run
            }
        }

        @Test(arguments: Generation.allCases)
        func row16And17OursRecoversTheirs(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                func takeAndDie(_ id: String) async throws {
                    try await PythonClient.with(generation) { doomed in
                        let before = try await bull.queue.job(id)?.attemptsStarted ?? 0
                        try await doomed.work(bull.queue, Self.recovery)
                        try await eventually(describing: "job \(id) taken") {
                            let job = try await bull.queue.job(id)
                            return job?.state == .active && job?.attemptsStarted == before + 1
                        }
                        await doomed.kill()
                    }
                }
                func rescuer() -> QueueWorker {
                    bull.worker("rescuer", lock: .seconds(1), stalled: .milliseconds(300)) { _, _ in #""ran""# }
                }
                let once = try await bull.queue.add("once", data: #"{"hang":1}"#)
                try await takeAndDie(once)
                try await bull.working(rescuer()) {
                    let job = try #require(try await bull.job(once, in: .completed))
                    #expect(job.stalledCount == 1 && job.attemptsStarted == 2 && job.attemptsMade == 1)
                    #expect(job.returnValue == #""ran""# && job.processedBy == "rescuer")
                }
                let twice = try await bull.queue.add("twice", data: #"{"hang":9}"#)
                for _ in 0..<2 { try await takeAndDie(twice) }
                try await bull.working(rescuer()) {
                    let job = try #require(try await bull.job(twice, in: .failed))
                    #expect(job.failedReason == "job stalled more than allowable limit" && job.stalledCount == 2)
                    #expect(job.attemptsStarted == 3 && job.attemptsMade == 1 && job.returnValue == nil)
                }
                #expect(try await bull.hash(twice)["defa"] == nil)
            }
        }

        /// Our worker takes the job and is killed while it holds it.
        private static func takeAndDie(_ id: String, in bull: Harness) async throws {
            let before = try await bull.queue.job(id)?.attemptsStarted ?? 0
            let probe = try await ProbeProcess.work(bull, "--lock", "1000", "--stalled", "300")
            try await eventually(describing: "job \(id) taken") {
                let job = try await bull.queue.job(id)
                return job?.state == .active && job?.attemptsStarted == before + 1
            }
            try await probe.kill()
        }
    }
}
