import EventLoop
import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

@testable import JobQueue

extension Live.Interop {
    /// What is done to a queue and its jobs from outside.
    @Suite struct AdministrationRows {
        @Test(arguments: Generation.allCases, [true, false])
        func row20WhoeverPausesTheOtherResumes(generation: Generation, oursPauses: Bool) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let first = try await bull.queue.add("first", data: "{}")
                if oursPauses { try await bull.queue.pause() } else { try await python.call(bull.queue, "pause") }
                #expect(try await bull.queue.isPaused())
                #expect(try await python.call(bull.queue, "isPaused") == true)
                let second = try await bull.queue.add("second", data: "{}")
                let third = try await bull.queue.add("third", data: "{}")
                let prior = try await bull.queue.add("prior", data: "{}", options: JobOptions(priority: 1))
                #expect(try await bull.redis.command("EXISTS", bull.key("marker")) == 0)
                #expect(try await bull.list("paused").suffix(2).contains(second))
                #expect(try await bull.scores("prioritized").keys.sorted() == [prior])
                let ids = [first, second, third, prior]
                let journal = Journal()
                let worker = bull.worker { job, _ in
                    journal.add(job.name)
                    return nil
                }
                try await bull.working(worker) {
                    try await bull.blocked()
                    #expect(journal.all.isEmpty)
                    if oursPauses {
                        try await python.call(bull.queue, "resume")
                    } else {
                        try await bull.queue.resume()
                    }
                    for id in ids { try await bull.job(id, in: .completed) }
                }
                #expect(journal.all == ["first", "second", "third", "prior"])
            }
        }

        /// Traps 1 to 3 of the sheet: the sixth generation adds to `wait` although the queue is paused.
        @Test(arguments: Generation.allCases, [true, false])
        func row21NoJobIsLostBetweenGenerations(generation: Generation, oursPauses: Bool) async throws {
            try await Live.Interop.with(generation) { bull, python in
                var ids = [try await bull.queue.add("0", data: "{}")]
                if oursPauses { try await bull.queue.pause() } else { try await python.call(bull.queue, "pause") }
                for round in 1...2 {
                    ids.append(try await python.add(bull.queue, "\(round) theirs"))
                    if round == 1 { try await bull.queue.pause() }  // once more
                }
                try await bull.queue.resume()
                #expect(try await bull.list("wait") == ids.reversed())
                #expect(try await bull.redis.command("EXISTS", bull.key("paused")) == 0)
                #expect(try await bull.scores("marker") == ["0": 0])

                // Ours adds to `paused`, theirs resumes.
                try await python.call(bull.queue, "pause")
                ids.append(try await bull.queue.add("ours", data: "{}"))
                try await python.call(bull.queue, "resume")
                try await bull.working(bull.worker()) {
                    for id in ids { try await bull.job(id, in: .completed) }
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row22TheyPromoteRemoveAndRetryJobsOfOurs(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let later = JobOptions(attempts: 2, delay: .seconds(60))
                let promoted = try await bull.queue.add("x", data: "{}", options: later)
                let removed = try await bull.queue.add("x", data: "{}", options: later)
                try await python.call(bull.queue, job: promoted, "promote")
                try await python.call(bull.queue, job: removed, "remove")
                #expect(try await bull.queue.job(removed) == nil)
                let fails = Mutex(true)
                let worker = bull.worker { _, _ in
                    if fails.withLock({ $0 }) { throw UnrecoverableJobError(reason: "no") }
                    return nil
                }
                try await bull.working(worker) {
                    let failed = try #require(try await bull.job(promoted, in: .failed))
                    #expect(failed.attemptsMade == 1 && failed.delay == .zero)
                    try await python.call(bull.queue, job: promoted, "retry", "failed", [:])
                    try await eventually(describing: "failed again") {
                        try await bull.queue.job(promoted)?.attemptsMade == 2
                    }
                    fails.withLock { $0 = false }
                    try await python.call(
                        bull.queue, job: promoted, "retry", "failed",
                        ["resetAttemptsMade": true, "resetAttemptsStarted": true])
                    let done = try #require(try await bull.job(promoted, in: .completed))
                    #expect(done.attemptsMade == 1 && done.attemptsStarted == 1 && done.failedReason == nil)
                }
                // bullmq 2.26.0 gives its script the wrong keys here, with its own jobs as well (sheet, section 2).
                guard generation == .six else { return }
                let changed = try await bull.queue.add("last", data: "{}", options: JobOptions(priority: 9))
                let other = try await bull.queue.add("other", data: "{}", options: JobOptions(priority: 5))
                try await python.call(bull.queue, job: changed, "changePriority", ["priority": 1])
                #expect(try await bull.queue.job(changed)?.priority == 1)
                #expect(try await bull.take(worker, token: "t")?.id == changed)
                #expect(try await bull.take(worker, token: "t")?.id == other)
            }
        }

        @Test(arguments: Generation.allCases)
        func row23OursRetriesWhatFailedWithThem(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let options = JobOptions(attempts: 2)
                let ids = try await bull.queue.add(
                    (0..<3).map { _ in NewJob("x", data: #"{"fail":2}"#, options: options) })
                try await python.working(bull.queue) {
                    for id in ids { try await bull.job(id, in: .failed) }
                    try await bull.queue.retry(ids[0])  // its two attempts are made: it succeeds now
                    let job = try #require(try await bull.job(ids[0], in: .completed))
                    #expect(job.attemptsMade == 3 && job.failedReason == nil && job.stacktrace.count == 2)
                    let again = ["event": "waiting", "jobId": ids[0], "prev": "failed"]
                    #expect(try await bull.eventFields().contains(again))
                    #expect(try await bull.queue.retryAll(forgettingAttempts: true) == 2)
                    for id in ids.dropFirst() {
                        try await eventually(describing: "failed once more") {
                            let job = try await bull.queue.job(id)
                            return job?.state == .failed && job?.attemptsMade == 2
                        }
                    }
                }
                // One more failure is final although two attempts were asked for.
                let worker = bull.worker { _, _ in throw Refused() }
                try await bull.queue.retry(ids[1])
                try await bull.working(worker) {
                    try await eventually(describing: "final") {
                        let job = try await bull.queue.job(ids[1])
                        return job?.state == .failed && job?.attemptsMade == 3
                    }
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row25LimitsHoldOverBothKindsOfWorkers(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let window = 400
                let starts = Journal()
                var options = QueueWorker.Options()
                options.rateLimit = RateLimit(1, per: .milliseconds(window))
                options.drainDelay = .milliseconds(500)
                let worker = QueueWorker(
                    queue: bull.queue, name: "w", concurrency: 3, options: options, logger: bull.logger
                ) { _, _ in
                    starts.add("\(Date().milliseconds)")
                    return nil
                }
                let ids = try await bull.queue.add((0..<5).map { _ in NewJob("x", data: "{}") })
                let limiter: JSON = ["limiter": ["max": 1, "duration": .number(Double(window))], "concurrency": 3]
                try await python.working(bull.queue, limiter) {
                    try await bull.working(worker) {
                        for id in ids { try await bull.job(id, in: .completed) }
                    }
                }
                let jobs = try await bull.queue.jobs(in: .completed)
                let times = jobs.compactMap { $0.processedOn?.milliseconds }.sorted()
                #expect(times.count == 5)
                for (earlier, later) in zip(times, times.dropFirst()) { #expect(later - earlier >= window - 5) }

                // The queue's own limit, and its own concurrency, set by them.
                try await python.call(bull.queue, "setGlobalRateLimit", 1, 300)
                let slow = try await bull.queue.add((0..<3).map { _ in NewJob("x", data: "{}") })
                try await bull.working(bull.worker(concurrency: 3)) {
                    for id in slow { try await bull.job(id, in: .completed) }
                }
                var taken: [Int] = []
                for id in slow { taken.append(try await bull.queue.job(id)?.processedOn?.milliseconds ?? 0) }
                taken.sort()
                #expect(taken[1] - taken[0] >= 295 && taken[2] - taken[1] >= 295)

                try await bull.queue.setRateLimit(nil)
                try await python.call(bull.queue, "setGlobalConcurrency", 1)
                let running = Mutex((now: 0, most: 0))
                let narrow = bull.worker(concurrency: 5) { _, _ in
                    running.withLock {
                        $0.now += 1
                        $0.most = max($0.most, $0.now)
                    }
                    try await ContinuousClock().sleep(for: .milliseconds(20))
                    running.withLock { $0.now -= 1 }
                    return nil
                }
                let single = try await bull.queue.add((0..<10).map { _ in NewJob("x", data: "{}") })
                try await bull.working(narrow) {
                    for id in single { try await bull.job(id, in: .completed) }
                }
                #expect(running.withLock { $0.most } == 1)
            }
        }

        @Test(arguments: Generation.allCases)
        func row27WorkersAreListedByName(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                try await bull.working(bull.worker("ours")) {
                    try await python.working(bull.queue, ["name": "theirs"]) {
                        try await bull.blocked(2)
                        let base64 = Data(bull.queue.name.utf8).base64EncodedString()
                        let clients = try await bull.redis.command("CLIENT", "LIST").text ?? ""
                        let names = clients.split { " \n".contains($0) }.filter { $0.hasPrefix("name=bull:\(base64)") }
                        #expect(names == ["name=bull:\(base64):w:ours"])  // once: what Node's getWorkers looks for
                        let listed = try await bull.queue.workers()
                        #expect(Set(listed) == ["ours", "theirs"])
                        let id = try await bull.queue.add("x", data: "{}", options: JobOptions(attempts: 1))
                        try await bull.job(id, in: .completed)
                    }
                    let id = try await bull.queue.add("x", data: "{}")
                    #expect(try await bull.job(id, in: .completed)?.processedBy == "ours")
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row28NothingIsLeftOfAnObliteratedQueue(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                func keys() async throws -> [String] {
                    let reply = try await bull.redis.command("KEYS", "bull:\(bull.queue.name):*")
                    return (reply.elements ?? []).compactMap { $0.text }
                }
                func fill() async throws {
                    var rules = QueueWorker.Options()
                    rules.metricsMinutes = 60
                    rules.rateLimit = RateLimit(100, per: .seconds(60))
                    try await python.add(bull.queue, "theirs", opts: ["priority": 1])
                    try await bull.queue.add([
                        NewJob("done", data: "{}"), NewJob("bad", data: "{}"), NewJob("held", data: "{}"),
                        NewJob("later", data: "{}", options: JobOptions(delay: .seconds(60))),
                        NewJob("prior", data: "{}", options: JobOptions(priority: 3)),
                        NewJob("once", data: "{}", options: JobOptions(deduplication: Deduplication(id: "d"))),
                    ])
                    let worker = QueueWorker(
                        queue: bull.queue, name: "w", concurrency: 1, options: rules, logger: bull.logger
                    ) { _, _ in nil }
                    let done = try #require(try await bull.take(worker, token: "t"))
                    try await bull.queue.addLog("row", to: done.id, keeping: nil)
                    let bad = try await worker.send(.completed(returnValue: "1"), of: done, token: "t")
                    let held = try await worker.send(.failed(reason: "r"), of: try #require(bad), token: "t")
                    #expect(held?.name == "held")
                }
                try await fill()
                #expect(
                    try await python.call(bull.queue, "getJobCounts", "completed", "failed", "active", "delayed")
                        == ["completed": 1, "failed": 1, "active": 1, "delayed": 1])
                try await python.call(bull.queue, "obliterate", true)
                #expect(Set(try await keys()).isSubset(of: [bull.queue.key("limiter")]))

                try await fill()
                let refused = await #expect(throws: JobQueueError.self) { try await bull.queue.obliterate() }
                #expect(refused?.code == .jobLocked)
                #expect(try await bull.queue.isPaused())
                try await bull.queue.obliterate(force: true)
                #expect(try await keys().isEmpty)
            }
        }

        @Test(arguments: Generation.allCases)
        func row30OneEndOfOursTrimsTheirEvents(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                for _ in 0..<750 {  // two entries each
                    try await bull.redis.command("XADD", bull.key("events"), "*", "event", "added")
                    try await bull.redis.command("XADD", bull.key("events"), "*", "event", "waiting")
                }
                let id = try await python.add(bull.queue, "x")
                try await bull.redis.command("HSET", bull.key("meta"), "opts.maxLenEvents", 500)
                try await bull.working(bull.worker()) { try await bull.job(id, in: .completed) }
                #expect((500..<620).contains(try await bull.redis.command("XLEN", bull.key("events")).number ?? 0))
            }
        }
    }
}
