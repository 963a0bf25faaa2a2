import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live.Interop {
    /// Row 29: producers and workers of both kinds, failures, and workers killed while they hold jobs.
    @Suite struct SoakTests {
        static let jobs = 5_000  // a direction
        static let concurrency = 20

        /// What becomes of the `index`-th job: it fails so often, with three attempts.
        static func failures(_ index: Int) -> Int { [0, 0, 0, 1, 0, 2, 0, 0, 3, 0][index % 10] }

        @Test(.timeLimit(.minutes(3)))
        func row29TenThousandJobsEndExactlyOnceWhateverIsKilled() async throws {
            try await Harness.with(name: "soak-\(UUID())") { ours in
                try await Harness.with(name: "soak-\(UUID())") { theirs in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await Self.pythonProducesOursWorks(ours) }
                        group.addTask { try await Self.oursProducesPythonWorks(theirs) }
                        try await group.waitForAll()
                    }
                    for bull in [ours, theirs] { try await Self.verify(bull) }
                }
            }
        }

        private static func pythonProducesOursWorks(_ bull: Harness) async throws {
            try await bull.queue.setEventLimit(1_000_000)
            func work(_ name: String) async throws -> ProbeProcess {
                try await ProbeProcess.work(
                    bull, "--name", name, "--concurrency", "\(concurrency)", "--lock", "1000", "--stalled", "500",
                    "--max-stalls", "100")
            }
            let steady = try await work("steady")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await PythonClient.with(.six) { producer in
                        for start in stride(from: 0, to: jobs, by: 500) {
                            let batch = (start..<start + 500).map { index -> JSON in
                                let failures = failures(index)
                                var options: [String: JSON] = ["attempts": 3]
                                if index % 4 == 0 { options["backoff"] = ["type": "fixed", "delay": 20] }
                                if index % 7 == 0 { options["priority"] = .number(Double(index % 5 + 1)) }
                                if index % 11 == 0 { options["delay"] = 30 }
                                return [
                                    "name": "x", "opts": .object(options),
                                    "data": ["fail": .number(Double(failures)), "sleep": index % 50 == 0 ? 40 : 0],
                                ]
                            }
                            try await producer.order(
                                "add_many", ["queue": .string(bull.queue.name), "jobs": .array(batch)])
                        }
                    }
                }
                group.addTask {
                    for round in 1...4 {
                        let doomed = try await work("doomed \(round)")
                        try await kill(afterAFifthOf: bull, round: round) { try await doomed.kill() }
                    }
                }
                try await group.waitForAll()
            }
            try await ended(bull)
            try await steady.kill()
        }

        private static func oursProducesPythonWorks(_ bull: Harness) async throws {
            try await bull.queue.setEventLimit(1_000_000)
            let rules: JSON = [
                "concurrency": .number(Double(concurrency)), "lockDuration": 2_000, "stalledInterval": 1_000,
                "maxStalledCount": 100,
            ]
            try await PythonClient.with(.six) { steady in
                try await steady.work(bull.queue, rules)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for start in stride(from: 0, to: jobs, by: 250) {
                            let batch = (start..<start + 250).map { index in
                                NewJob(
                                    "x", data: #"{"fail":\#(failures(index)),"sleep":\#(index % 50 == 0 ? 40 : 0)}"#,
                                    options: JobOptions(
                                        attempts: 3, backoff: index % 4 == 0 ? .fixed(20) : nil,
                                        delay: index % 11 == 0 ? .milliseconds(30) : .zero,
                                        priority: index % 7 == 0 ? index % 5 + 1 : 0))
                            }
                            try await bull.queue.add(batch)
                        }
                    }
                    group.addTask {
                        for round in 1...2 {
                            try await PythonClient.with(.five) { doomed in
                                try await doomed.work(bull.queue, rules)
                                try await kill(afterAFifthOf: bull, round: round) { await doomed.kill() }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try await ended(bull)
            }
        }

        /// Kills in the middle of the work: when `round` fifths of it are done.
        private static func kill(
            afterAFifthOf bull: Harness, round: Int, _ kill: () async throws -> Void
        ) async throws {
            try await eventually(within: .seconds(90), describing: "\(round) fifths done") {
                try await done(bull) >= jobs * round / 5
            }
            try await kill()
        }

        private static func done(_ bull: Harness) async throws -> Int {
            let counts = try await bull.queue.counts()
            return counts[.completed, default: 0] + counts[.failed, default: 0]
        }

        private static func ended(_ bull: Harness) async throws {
            try await eventually(
                within: .seconds(90), describing: "all ended", read: { try await bull.queue.counts() },
                until: { $0[.completed, default: 0] + $0[.failed, default: 0] == jobs })
        }

        private static func verify(_ bull: Harness) async throws {
            let counts = try await bull.queue.counts()
            let failing = (0..<jobs).count { failures($0) >= 3 }
            #expect(counts[.failed] == failing && counts[.completed] == jobs - failing)
            for state: JobState in [.waiting, .paused, .active, .delayed, .prioritized] { #expect(counts[state] == 0) }
            var ends: [String: Int] = [:]
            var (stalled, from) = (0, "-")
            while true {
                let entries = try await bull.redis.command(
                    "XRANGE", bull.key("events"), RedisArgument(from), "+", "COUNT", 5_000)
                let page = entries.elements ?? []
                for entry in page {
                    let event = entry.elements?.last?.fields ?? [:]
                    if event["event"] == "stalled" { stalled += 1 }
                    guard event["event"] == "completed" || event["event"] == "failed", let id = event["jobId"] else {
                        continue
                    }
                    ends[id, default: 0] += 1
                    if event["event"] == "completed" { #expect(isJSON(event["returnvalue"] ?? "")) }
                }
                guard let last = page.last?.elements?.first?.text else { break }
                from = "(\(last)"
            }
            #expect(ends.count == jobs && ends.values.allSatisfy { $0 == 1 })
            #expect(stalled > 0, "no killed worker held a job")
            // The plan, job by job: as many attempts made as it was to fail, and one to succeed.
            for start in stride(from: 0, to: jobs, by: 1_000) {
                for state: JobState in [.completed, .failed] {
                    for job in try await bull.queue.jobs(in: state, range: start..<start + 1_000) {
                        let planned = try JSON(text: job.data)["fail"].int ?? 0
                        #expect(job.attemptsMade == min(3, planned + 1))
                        #expect((job.state == .failed) == (planned >= 3))
                    }
                }
            }
            #expect(try await bull.redis.command("EXISTS", bull.key("stalled"), bull.key("pc")) == 0)
        }
    }
}
