import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// What an operator sees and does.
    @Suite struct AdministrationTests {
        @Test func pagesAreBoundedAndLeadToTheNext() async throws {
            try await Harness.with { bull in
                try await bull.queue.add((0..<25).map { NewJob("\($0)", data: "{}") })
                let first = try await bull.queue.list(.waiting, limit: 10)
                #expect(first.jobs.map(\.name) == (15...24).reversed().map(String.init))
                #expect(first.total == 25 && first.nextOffset == 10)
                let last = try await bull.queue.list(.waiting, offset: 20, limit: 10)
                #expect(last.jobs.count == 5 && last.nextOffset == nil)
                let odd = try await bull.queue.list(.waiting, offset: -3, limit: 0)
                #expect(odd.jobs.count == 1 && odd.nextOffset == 1)
                #expect(try await bull.queue.list(.unknown).jobs.isEmpty)
                #expect(try await bull.queue.list(.waiting, limit: 1_000_000).jobs.count == 25)
            }
        }

        @Test func aJobIsFoundWithAllItLeft() async throws {
            try await Harness.with { bull in
                let options = JobOptions(attempts: 2, deduplication: Deduplication(id: "d"), keepLogs: 3)
                let id = try await bull.queue.add("x", data: #"{"n":1}"#, options: options)
                let worker = bull.worker("w1") { job, context in
                    for row in 0..<5 { await context.log("attempt \(job.attemptsStarted) row \(row)") }
                    try await context.updateProgress(#"{"pct":50}"#)
                    throw Refused()
                }
                try await bull.working(worker) { try await bull.job(id, in: .failed) }
                let found = try #require(try await bull.queue.find(id, logRows: 2))
                let job = found.job
                #expect(job.state == .failed && job.data == #"{"n":1}"# && job.options == options)
                #expect(job.attemptsMade == 2 && job.attemptsStarted == 2 && job.progress == #"{"pct":50}"#)
                #expect(job.failedReason == "refused by the handler" && job.stacktrace.count == 2)
                #expect(job.processedBy == "w1" && job.returnValue == nil && job.deduplicationID == "d")
                let (processed, finished) = (try #require(job.processedOn), try #require(job.finishedOn))
                #expect(job.timestamp <= processed && processed <= finished)
                #expect(found.logs == ["attempt 2 row 3", "attempt 2 row 4"] && found.logCount == 3)
                #expect(try await bull.queue.find("none") == nil)
            }
        }

        @Test func allThatFailedUntilNowIsRetriedOldestFirst() async throws {
            try await Harness.with { bull in
                bull.clock.now = 1_700_000_000_000
                let worker = bull.worker()
                try await bull.queue.add((0..<3).map { NewJob("\($0)", data: "{}") })
                for _ in 0..<3 {
                    let job = try #require(try await bull.take(worker, token: "t"))
                    _ = try await worker.finishAlone(.failed(reason: "r"), of: job)
                    bull.clock.now += 1_000
                }
                try await bull.redis.command("DEL", bull.key("2"))  // removed by hand
                bull.clock.now = 1_700_000_001_500  // the third fails later
                #expect(try await bull.queue.retryAll() == 1)
                #expect(try await bull.list("wait") == ["1"])
                #expect(try await bull.scores("failed").keys.sorted() == ["3"])
                bull.clock.now = 1_700_000_009_000
                #expect(try await bull.queue.retryAll(forgettingAttempts: true) == 1)
                #expect(try await bull.list("wait") == ["3", "1"])
                #expect(try await bull.hash("1")["atm"] == "1")
                #expect(try await bull.hash("3")["atm"] == nil)
                let refused = await #expect(throws: JobQueueError.self) { try await bull.queue.retryAll(.active) }
                #expect(refused?.code == .wrongState)
            }
        }

        @Test func delayedJobsArePromotedToTheirPlaces() async throws {
            try await Harness.with { bull in
                func delayed(_ priority: Int) -> JobOptions { JobOptions(delay: .seconds(60), priority: priority) }
                let ids = try await bull.queue.add([
                    NewJob("a", data: "{}", options: delayed(0)), NewJob("b", data: "{}", options: delayed(3)),
                    NewJob("c", data: "{}", options: delayed(0)),
                ])
                try await bull.queue.promote(ids[2])
                #expect(try await bull.list("wait") == [ids[2]])
                #expect(try await bull.hash(ids[2])["delay"] == "0")
                #expect(try await bull.eventFields().last == ["event": "waiting", "jobId": ids[2], "prev": "delayed"])
                let twice = await #expect(throws: JobQueueError.self) { try await bull.queue.promote(ids[2]) }
                #expect(twice?.code == .wrongState)
                let missing = await #expect(throws: JobQueueError.self) { try await bull.queue.promote("none") }
                #expect(missing?.code == .jobMissing)
                #expect(try await bull.queue.promoteAll() == 2)
                #expect(try await bull.list("wait") == [ids[0], ids[2]])
                #expect(try await bull.scores("prioritized").keys.sorted() == [ids[1]])
                #expect(try await bull.scores("marker")["0"] == 0)
                #expect(try await bull.queue.promoteAll() == 0)
            }
        }

        @Test func jobsAreChangedWhereTheyAre() async throws {
            try await Harness.with { bull in
                bull.clock.now = 1_700_000_000_000
                let ids = try await bull.queue.add([
                    NewJob("a", data: "{}"), NewJob("b", data: "{}", options: JobOptions(priority: 2)),
                    NewJob("c", data: "{}", options: JobOptions(priority: 2)),
                    NewJob("d", data: "{}", options: JobOptions(delay: .seconds(60))),
                ])
                try await bull.queue.setPriority(2, of: ids[0])
                #expect(try await bull.list("wait").isEmpty)
                try await bull.queue.setPriority(2, of: ids[2], first: true)
                try await bull.queue.setData("7", of: ids[2])
                let worker = bull.worker()
                let first = try #require(try await bull.take(worker, token: "t"))
                #expect(first.name == "c" && first.data == "7")
                try await bull.queue.setPriority(0, of: ids[0])
                #expect(try await bull.take(worker, token: "t")?.name == "a")
                #expect(try await bull.take(worker, token: "t")?.name == "b")

                try await bull.queue.setDelay(.seconds(5), of: ids[3])
                try await bull.queue.setPriority(9, of: ids[3])
                #expect(try await bull.scores("delayed") == [ids[3]: 1_700_000_005_000 * 4096])
                #expect(try await bull.scores("marker")["1"] == 1_700_000_005_000)
                #expect(try await bull.hash(ids[3])["delay"] == "5000")
                #expect(
                    try await bull.eventFields().last == [
                        "event": "delayed", "jobId": ids[3], "delay": "1700000005000",
                    ])
                bull.clock.now += 5_000
                #expect(try await bull.take(worker, token: "t")?.priority == 9)
                let late = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.setDelay(.seconds(1), of: ids[3])
                }
                #expect(late?.code == .wrongState)
                for refused: @Sendable () async throws -> Void in [
                    { try await bull.queue.setPriority(-1, of: "1") }, { try await bull.queue.setData("{", of: "1") },
                    { try await bull.queue.setDelay(.seconds(-1), of: "1") },
                ] {
                    let error = await #expect(throws: JobQueueError.self) { try await refused() }
                    #expect(error?.code == .invalidJob)
                }
                let missing = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.setPriority(1, of: "none")
                }
                #expect(missing?.code == .jobMissing)
            }
        }

        @Test func drainingRemovesWhatWaitsAndWhatItOwns() async throws {
            try await Harness.with { bull in
                let worker = bull.worker()
                try await bull.queue.add("active", data: "{}")
                let active = try #require(try await bull.take(worker, token: "t"))
                let once = JobOptions(deduplication: Deduplication(id: "d"))
                try await bull.queue.add(
                    [NewJob("once", data: "{}", options: once)]
                        + (0..<1_500).map { NewJob("\($0)", data: "{}", options: JobOptions(priority: $0 % 2)) }
                        + [NewJob("later", data: "{}", options: JobOptions(delay: .seconds(60)))])
                #expect(try await bull.queue.drain() == 1_501)
                var counts = try await bull.queue.counts()
                #expect(counts[.waiting] == 0 && counts[.prioritized] == 0 && counts[.delayed] == 1)
                #expect(counts[.active] == 1)
                #expect(try await bull.redis.command("EXISTS", bull.key("de:d"), bull.key("2")) == 0)
                #expect(try await bull.queue.drain(includingDelayed: true) == 1)
                counts = try await bull.queue.counts()
                #expect(counts[.delayed] == 0)
                #expect(try await bull.queue.state(of: active.id) == .active)
            }
        }

        @Test func cleaningRemovesTheOldestThatAreOldEnough() async throws {
            try await Harness.with { bull in
                let worker = bull.worker()
                bull.clock.now = 1_700_000_000_000
                for index in 0..<6 {
                    try await bull.queue.add("\(index)", data: "{}")
                    let job = try #require(try await bull.take(worker, token: "t"))
                    _ = try await worker.finishAlone(.completed(returnValue: "1"), of: job)
                    bull.clock.now += 1_000
                }
                #expect(try await bull.queue.clean(.completed, olderThan: .seconds(3), limit: 2) == ["1", "2"])
                #expect(try await bull.eventFields().last == ["event": "cleaned", "count": "2"])
                #expect(try await bull.queue.clean(.completed, olderThan: .seconds(3)) == ["3", "4"])
                #expect(try await bull.scores("completed").keys.sorted() == ["5", "6"])
                #expect(try await bull.redis.command("EXISTS", bull.key("1")) == 0)

                try await bull.queue.add("old", data: "{}")
                bull.clock.now += 10_000
                try await bull.queue.add("new", data: "{}")
                #expect(try await bull.queue.clean(.waiting, olderThan: .seconds(5)) == ["7"])
                #expect(try await bull.list("wait") == ["8"])
                let held = try #require(try await bull.take(worker, token: "t"))
                bull.clock.now += 10_000
                #expect(try await bull.queue.clean(.active, olderThan: .zero).isEmpty)
                try await bull.redis.command("DEL", bull.key("\(held.id):lock"))
                #expect(try await bull.queue.clean(.active, olderThan: .zero) == [held.id])
                let refused = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.clean(.unknown, olderThan: .zero)
                }
                #expect(refused?.code == .wrongState)
            }
        }

        @Test func aQueueOfFlowsOrSchedulersIsNotEmptied() async throws {
            try await Harness.with { bull in
                try await bull.queue.add("x", data: "{}")
                try await bull.redis.command("HSET", bull.key("1"), "parentKey", "bull:parents:7")
                let actions: [@Sendable () async throws -> Void] = [
                    { try await bull.queue.drain() }, { try await bull.queue.obliterate(force: true) },
                    { try await bull.queue.clean(.waiting, olderThan: .seconds(-60)) },
                    { try await bull.queue.remove("1") },
                ]
                for action in actions {
                    let error = await #expect(throws: JobQueueError.self) { try await action() }
                    #expect(error?.code == .unsupportedQueue)
                }
                #expect(try await bull.list("wait") == ["1"])
                #expect(try await bull.queue.isPaused() == false)
            }
        }

        @Test func settingsOfTheQueueAreCheckedAndKept() async throws {
            try await Harness.with { bull in
                try await bull.queue.setConcurrency(3)
                try await bull.queue.setRateLimit(RateLimit(5, per: .seconds(2)))
                let meta = try await bull.hash("meta")
                #expect(meta == ["concurrency": "3", "max": "5", "duration": "2000"])
                try await bull.queue.setConcurrency(nil)
                try await bull.queue.setRateLimit(nil)
                #expect(try await bull.hash("meta").isEmpty)
                for refused: @Sendable () async throws -> Void in [
                    { try await bull.queue.setConcurrency(0) },
                    { try await bull.queue.setRateLimit(RateLimit(0, per: .seconds(1))) },
                    { try await bull.queue.setEventLimit(-1) },
                ] {
                    let error = await #expect(throws: JobQueueError.self) { try await refused() }
                    #expect(error?.code == .invalidSetting)
                }
                try await bull.queue.add((0..<300).map { _ in NewJob("x", data: "{}") })
                try await bull.queue.setEventLimit(100)
                #expect((100..<220).contains(try await bull.redis.command("XLEN", bull.key("events")).number ?? 0))

                var options = QueueWorker.Options()
                options.rateLimit = RateLimit(1_000, per: .seconds(1))
                let worker = QueueWorker(
                    queue: bull.queue, name: "w", concurrency: 1, options: options, logger: bull.logger
                ) { _, _ in nil }
                try await bull.queue.holdOff(for: .seconds(60))
                guard case .limited(let wait) = try await worker.fetch(token: "t") else {
                    Issue.record("taken although held off")
                    return
                }
                #expect((50_000...60_000).contains(wait))
            }
        }
    }
}
