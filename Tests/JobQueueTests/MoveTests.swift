import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// Every move of a job, by hand and under a clock of the test's. Numbers are rows of the sheet's checklist.
    @Suite struct MoveTests {
        @Test func takingAJobLocksItAndFinishingItLeavesNothingBehind() async throws {  // 13, 15
            try await Harness.with { bull in
                let id = try await bull.queue.add("x", data: "{}")
                let worker = bull.worker("w1")
                bull.clock.now = 1_700_000_000_000
                let job = try #require(try await bull.take(worker, token: "t:0"))
                #expect(job.id == id && job.attemptsStarted == 1 && job.attemptsMade == 0)
                #expect(try await bull.list("active") == [id])
                #expect(try await bull.redis.command("GET", bull.key("\(id):lock")) == "t:0")
                #expect(
                    (29_000...30_000).contains(try await bull.redis.command("PTTL", bull.key("\(id):lock")).number ?? 0)
                )
                #expect(try await bull.hash(id)["processedOn"] == "1700000000000")
                #expect(try await bull.hash(id)["pb"] == "w1")

                #expect(try await worker.send(.completed(returnValue: "null"), of: job, token: "t:0") == nil)
                let hash = try await bull.hash(id)
                #expect(hash["returnvalue"] == "null" && hash["atm"] == "1" && hash["finishedOn"] == "1700000000000")
                #expect(try await bull.scores("completed") == [id: 1_700_000_000_000])
                #expect(try await bull.redis.command("EXISTS", bull.key("active"), bull.key("\(id):lock")) == 0)
                #expect(try await bull.events() == ["added", "waiting", "active", "completed", "drained"])
                let told = ["event": "completed", "jobId": id, "returnvalue": "null", "prev": "active"]
                #expect(try await bull.eventFields().contains(told))
            }
        }

        @Test func withTheWordOnOneJobComesTheNextUnderTheSameToken() async throws {
            try await Harness.with { bull in
                for name in ["a", "b"] { try await bull.queue.add(name, data: "{}") }
                let worker = bull.worker()
                let first = try #require(try await bull.take(worker, token: "t:0"))
                let second = try await worker.send(.completed(returnValue: "1"), of: first, token: "t:0")
                #expect(second?.name == "b" && second?.attemptsStarted == 1)
                #expect(try await bull.redis.command("GET", bull.key("2:lock")) == "t:0")
                #expect(try await bull.events().contains("drained") == false)
            }
        }

        @Test func onlyTheHolderOfTheLockMayFinish() async throws {  // 19
            try await Harness.with { bull in
                let worker = bull.worker()
                let spoil: [(Int, [RedisArgument])] = [
                    (-6, ["SET", bull.key("1:lock"), "another"]), (-2, ["DEL", bull.key("2:lock")]),
                    (-3, ["LREM", bull.key("active"), 0, "3"]), (-1, ["DEL", bull.key("4")]),
                ]
                for (index, (status, command)) in spoil.enumerated() {
                    try await bull.queue.add("x", data: "{}")
                    let job = try #require(try await bull.take(worker, token: "t"))
                    try await bull.redis.command(command)
                    let before = try await bull.hash(job.id)
                    for outcome: AttemptOutcome in [
                        .completed(returnValue: "1"), .failed(reason: "r"), .retryNow(reason: "r"),
                        .retryLater(reason: "r", milliseconds: 5), .putBack,
                    ] {
                        let error = await #expect(throws: JobQueueError.self) {
                            try await worker.send(outcome, of: job, token: "t")
                        }
                        let expected = JobQueueError(status: status, job: "\(index + 1)", queue: bull.queue.name)
                        #expect(error?.message == expected.message)
                    }
                    #expect(try await bull.hash(job.id) == before)
                }
                #expect(try await bull.redis.command("EXISTS", bull.key("completed"), bull.key("failed")) == 0)
                #expect(try await bull.redis.command("EXISTS", bull.key("delayed"), bull.key("wait")) == 0)
            }
        }

        @Test(arguments: [false, true])
        func anImmediateRetryGoesBehindTheOthersUnlessLifo(lifo: Bool) async throws {  // 9
            try await Harness.with { bull in
                try await bull.queue.add("first", data: "{}", options: JobOptions(attempts: 2, lifo: lifo))
                let worker = bull.worker()
                let job = try #require(try await bull.take(worker, token: "t"))
                try await bull.queue.add("other", data: "{}")
                _ = try await worker.send(.retryNow(reason: "why"), of: job, token: "t")
                #expect(try await bull.list("wait") == (lifo ? ["2", "1"] : ["1", "2"]))
                let hash = try await bull.hash("1")
                #expect(hash["atm"] == "1" && hash["failedReason"] == "why" && hash["stacktrace"] == #"["why"]"#)
                #expect(try await bull.eventFields().last == ["event": "waiting", "jobId": "1", "prev": "active"])
                #expect(try await bull.scores("marker") == ["0": 0])
            }
        }

        @Test func aDelayedRetryWaitsAndTheLastFailureIsFinalAndSaidOnce() async throws {  // 6, our side
            try await Harness.with { bull in
                let options = JobOptions(attempts: 3, backoff: .exponential(1_000))
                let id = try await bull.queue.add("x", data: "{}", options: options)
                let worker = bull.worker()
                bull.clock.now = 1_700_000_000_000
                for (attempt, delay) in [(1, "1000"), (2, "2000"), (3, "0")] {
                    let job = try #require(try await bull.take(worker, token: "t"))
                    #expect(job.attemptsStarted == attempt)
                    let outcome = AttemptOutcome(of: job, failingWith: Refused(), chance: 0, now: bull.clock.now)
                    _ = try await worker.send(outcome, of: job, token: "t")
                    let hash = try await bull.hash(id)
                    #expect(hash["atm"] == "\(attempt)" && hash["ats"] == "\(attempt)" && hash["delay"] == delay)
                    if attempt < 3 {
                        let due = bull.clock.now + (Int(delay) ?? 0)
                        #expect(try await bull.scores("delayed") == [id: due * 4096])
                        #expect(try await bull.scores("marker")["1"] == due)
                        bull.clock.now = due
                    }
                }
                let job = try #require(try await bull.queue.job(id))
                #expect(
                    job.state == .failed && job.failedReason == "refused by the handler" && job.stacktrace.count == 3)
                #expect(try await bull.events().filter { $0 == "failed" }.count == 1)
                #expect(
                    try await bull.eventFields().suffix(2).first == [
                        "event": "retries-exhausted", "jobId": id, "attemptsMade": "3",
                    ])
            }
        }

        @Test func finishedJobsAreKeptAsAsked() async throws {  // 14
            try await Harness.with { bull in
                let worker = bull.worker()
                bull.clock.now = 1_700_000_000_000
                func complete(_ retention: Retention) async throws {
                    try await bull.queue.add("x", data: "{}", options: JobOptions(removeOnComplete: retention))
                    let job = try #require(try await bull.take(worker, token: "t"))
                    try await bull.queue.addLog("row", to: job.id, keeping: nil)
                    _ = try await worker.send(.completed(returnValue: "1"), of: job, token: "t")
                }
                func kept() async throws -> [String] { try await bull.scores("completed").keys.sorted() }
                try await complete(.removeAll)
                #expect(try await kept().isEmpty)
                #expect(try await bull.redis.command("EXISTS", bull.key("1"), bull.key("1:logs")) == 0)
                #expect(try await bull.events(of: "1").last == "completed")
                for _ in 0..<4 {
                    try await complete(.keepLast(2))
                    bull.clock.now += 1
                }
                #expect(try await kept() == ["4", "5"])
                #expect(try await bull.redis.command("EXISTS", bull.key("2"), bull.key("3"), bull.key("3:logs")) == 0)
                bull.clock.now += 1_200
                try await complete(.keep(count: nil, age: .seconds(1)))
                #expect(try await kept() == ["6"])
                for _ in 0..<3 { try await complete(.keepAll) }
                bull.clock.now += 1_200
                try await complete(.keep(count: nil, age: .seconds(1), limit: 2))  // two of the four old ones go
                #expect(try await kept() == ["10", "8", "9"])
            }
        }

        @Test func aSilentWorkersJobIsTakenBackOnceThenFailed() async throws {  // 16, 17, 18
            try await Harness.with { bull in
                let id = try await bull.queue.add("x", data: "{}", options: JobOptions(attempts: 5, priority: 7))
                let worker = bull.worker(stalled: .seconds(5))
                func pass() async throws -> [String] {
                    try await bull.redis.command("DEL", bull.key("stalled-check"))
                    return try await worker.recoverStalled()
                }
                for round in 1...2 {
                    let job = try #require(try await bull.take(worker, token: "dead"))
                    #expect(job.deferredFailure == nil)
                    #expect(try await pass() == [])  // marks it
                    #expect(try await worker.recoverStalled() == [])  // not within the interval
                    #expect(
                        (1...5_000).contains(
                            try await bull.redis.command("PTTL", bull.key("stalled-check")).number ?? 0))
                    #expect(try await pass() == [])  // the lock still stands
                    let lease = Lease(job: id, token: "dead", lane: Lane())
                    #expect(try await worker.extendLocks(of: [lease]).isEmpty)
                    #expect(try await bull.redis.command("EXISTS", bull.key("stalled")) == 0)  // renewed: unmarked
                    try await bull.redis.command("DEL", bull.key("\(id):lock"))
                    #expect(try await worker.extendLocks(of: [lease]) == [id])
                    #expect(try await pass() == [])
                    #expect(try await pass() == [id])
                    #expect(try await bull.list("wait") == [id])
                    #expect(try await bull.hash(id)["stc"] == "\(round)")
                    #expect(try await bull.events(of: id).suffix(2) == ["waiting", "stalled"])
                }
                #expect(try await bull.hash(id)["defa"] == "job stalled more than allowable limit")
                try await bull.working(bull.worker { _, _ in "\"ran\"" }) {
                    let job = try await bull.job(id, in: .failed)
                    #expect(job?.failedReason == "job stalled more than allowable limit")
                    #expect(job?.stalledCount == 2 && job?.attemptsStarted == 3 && job?.attemptsMade == 1)
                }
                #expect(try await bull.hash(id)["defa"] == nil)
            }
        }

        @Test func retryAndRemoveFollowTheSheet() async throws {  // 22, 23
            try await Harness.with { bull in
                let worker = bull.worker()
                let id = try await bull.queue.add("x", data: "{}", options: JobOptions(attempts: 2, priority: 3))
                let job = try #require(try await bull.take(worker, token: "t"))
                let locked = await #expect(throws: JobQueueError.self) { try await bull.queue.remove(id) }
                #expect(locked?.code == .jobLocked)
                let early = await #expect(throws: JobQueueError.self) { try await bull.queue.retry(id) }
                #expect(early?.code == .wrongState)
                _ = try await worker.send(.failed(reason: "r"), of: job, token: "t")
                try await bull.queue.retry(id)
                let hash = try await bull.hash(id)
                #expect(hash["atm"] == "1" && hash["stacktrace"] == #"["r"]"#)
                #expect(hash["finishedOn"] == nil && hash["processedOn"] == nil && hash["failedReason"] == nil)
                #expect(try await bull.list("wait") == [id])
                #expect(try await bull.eventFields().last == ["event": "waiting", "jobId": id, "prev": "failed"])
                try await bull.queue.remove(id)
                #expect(try await bull.eventFields().last == ["event": "removed", "jobId": id, "prev": "wait"])
                try await bull.queue.remove("unknown")
                let missing = await #expect(throws: JobQueueError.self) { try await bull.queue.retry(id) }
                #expect(missing?.code == .jobMissing)
                let keys = try await bull.redis.command("KEYS", "\(bull.queue.key(id).replacing("[", with: "?"))*")
                #expect(keys == [])
            }
        }

        @Test func progressAndLogsAreStoredAndTold() async throws {  // 24
            try await Harness.with { bull in
                let id = try await bull.queue.add("x", data: "{}")
                try await bull.queue.updateProgress("42", of: id)
                try await bull.queue.updateProgress(#"{"pct":1}"#, of: id)
                #expect(try await bull.hash(id)["progress"] == #"{"pct":1}"#)
                #expect(try await bull.eventFields().compactMap { $0["data"] } == ["42", #"{"pct":1}"#])
                var counts: [Int] = []
                for row in ["a", "b", "c"] { counts.append(try await bull.queue.addLog(row, to: id, keeping: 2)) }
                #expect(counts == [1, 2, 2])
                #expect(try await bull.queue.logs(of: id) == ["b", "c"])
                let missing = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.addLog("row", to: "none", keeping: nil)
                }
                #expect(missing?.code == .jobMissing)
            }
        }

        @Test func theEventStreamIsCapped() async throws {  // 30
            try await Harness.with { bull in
                try await bull.redis.command("HSET", bull.key("meta"), "opts.maxLenEvents", 500)
                try await bull.queue.add("x", data: "{}")
                _ = try await bull.redis.pipeline((0..<1_500).map { ["XADD", bull.key("events"), "*", "n", "\($0)"] })
                let worker = bull.worker()
                let job = try #require(try await bull.take(worker, token: "t"))
                _ = try await worker.send(.completed(returnValue: "1"), of: job, token: "t")
                #expect((500..<620).contains(try await bull.redis.command("XLEN", bull.key("events")).number ?? 0))
            }
        }

        @Test func countsStatesAndPagesAgree() async throws {
            try await Harness.with { bull in
                for index in 0..<5 { try await bull.queue.add("w\(index)", data: "{}") }
                try await bull.queue.add("d", data: "{}", options: JobOptions(delay: .seconds(60)))
                try await bull.queue.add("p", data: "{}", options: JobOptions(priority: 1))
                let worker = bull.worker()
                let job = try #require(try await bull.take(worker, token: "t"))
                let counts = try await bull.queue.counts()
                #expect(counts[.waiting] == 4 && counts[.active] == 1 && counts[.delayed] == 1)
                #expect(counts[.prioritized] == 1 && counts[.completed] == 0 && counts[.unknown] == nil)
                #expect(try await bull.queue.state(of: job.id) == .active)
                #expect(try await bull.queue.state(of: "none") == .unknown)
                #expect(try await bull.queue.jobs(in: .waiting, range: 0..<2).map(\.name) == ["w4", "w3"])
                #expect(try await bull.queue.jobs(in: .waiting, range: 3..<9).map(\.name) == ["w1"])
                #expect(try await bull.queue.jobs(in: .delayed).map(\.id) == ["6"])
            }
        }
    }
}
