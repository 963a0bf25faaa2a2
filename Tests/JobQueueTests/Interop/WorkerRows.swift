import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live.Interop {
    /// How attempts end.
    @Suite struct WorkerRows {
        @Test(arguments: Generation.allCases)
        func row06OurWorkerRetriesTheirJobAndFailsItOnce(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let id = try await python.add(
                    bull.queue, "x", opts: ["attempts": 3, "backoff": ["type": "exponential", "delay": 400]])
                let starts = Journal()
                let worker = bull.worker { job, _ in
                    starts.add("\(Date().milliseconds)")
                    #expect(job.attemptsStarted == starts.all.count && job.attemptsMade == starts.all.count - 1)
                    throw Refused()
                }
                try await bull.working(worker) {
                    for delay in ["400", "800"] {
                        try await eventually(describing: "delay \(delay)") {
                            try await bull.hash(id)["delay"] == delay
                        }
                    }
                    try await bull.job(id, in: .failed)
                }
                let times = starts.all.compactMap { Int($0) }
                #expect(times.count == 3)
                #expect((400..<1_500).contains(times[1] - times[0]) && (800..<2_000).contains(times[2] - times[1]))
                let shown = try await python.show(bull.queue, id)
                #expect(shown["failedReason"] == "refused by the handler" && shown["attemptsMade"] == 3)
                #expect(shown["stacktrace"].elements.count == 3 && shown["delay"] == 0 && shown["state"] == "failed")
                let ends = try await bull.eventFields().filter {
                    ["failed", "retries-exhausted"].contains($0["event"])
                }
                #expect(ends.map { $0["event"] } == ["failed", "retries-exhausted"])
                #expect(ends.last?["attemptsMade"] == "3")
            }
        }

        @Test(arguments: Generation.allCases)
        func row07TheirWorkerRetriesOurJob(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let options = JobOptions(attempts: 3, backoff: .exponential(400))
                let id = try await bull.queue.add("x", data: #"{"fail":3}"#, options: options)
                try await python.working(bull.queue) { try await bull.job(id, in: .failed) }
                let times = try await python.starts(of: [id], in: bull.queue).map(\.at)
                #expect(times.count == 3)
                #expect(times[1] - times[0] >= 400 && times[2] - times[1] >= 800)
                let job = try #require(try await bull.queue.job(id))
                // One of them stores the reason as JSON, the other as text.
                #expect(job.failedReason == "as told" && job.attemptsMade == 3 && job.stacktrace.count == 3)
            }
        }

        @Test(arguments: Generation.allCases, [false, true])
        func row09AnImmediateRetryGoesBehindTheOthersUnlessLifo(generation: Generation, lifo: Bool) async throws {
            let order = lifo ? ["first", "first", "other"] : ["first", "other", "first"]
            try await Live.Interop.with(generation) { bull, python in
                let theirs = try await python.add(
                    bull.queue, "first", opts: ["attempts": 2, "lifo": .bool(lifo)])
                let other = try await python.add(bull.queue, "other")
                let journal = Journal()
                let worker = bull.worker { job, _ in
                    journal.add(job.name)
                    if journal.all == ["first"] { throw Refused() }
                    return nil
                }
                try await bull.working(worker) {
                    for id in [theirs, other] { try await bull.job(id, in: .completed) }
                }
                #expect(journal.all == order)
                let again = ["event": "waiting", "jobId": theirs, "prev": "active"]
                #expect(try await bull.eventFields().contains(again))

                let ids = try await bull.queue.add([
                    NewJob("first", data: #"{"fail":1}"#, options: JobOptions(attempts: 2, lifo: lifo)),
                    NewJob("other", data: "{}"),
                ])
                try await python.working(bull.queue) {
                    for id in ids { try await bull.job(id, in: .completed) }
                }
                #expect(try await python.starts(of: ids, in: bull.queue).map(\.name) == order)
            }
        }

        @Test(arguments: Generation.allCases)
        func row13TheirListenersHearOurEndsAndGoOn(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                try await python.order(
                    "listen", ["queue": .string(bull.queue.name), "names": ["completed", "failed", "progress"]])
                try await bull.blocked(in: "xread")
                let worker = bull.worker { job, context in
                    try await context.updateProgress("42")
                    try await context.updateProgress(#"{"pct":1}"#)
                    if job.name == "bad" { throw Refused() }
                    return job.name == "text" ? #""é""# : nil
                }
                let ids = try await bull.queue.add(["none", "text", "bad"].map { NewJob($0, data: "{}") })
                try await bull.working(worker) {
                    let heard = try await eventually(
                        describing: "nine events heard", read: { try await python.order("heard").elements },
                        until: { $0.count >= 9 })
                    let ends = heard.filter { $0.elements[0] != "progress" }
                    #expect(ends.map { $0.elements[0].string } == ["completed", "completed", "failed"])
                    #expect(ends.map { $0.elements[1]["jobId"].string } == ids)
                    #expect(ends[0].elements[1]["returnvalue"] == nil && ends[1].elements[1]["returnvalue"] == "é")
                    #expect(ends[2].elements[1]["failedReason"] == "refused by the handler")
                    let steps = heard.filter { $0.elements[0] == "progress" }.map { $0.elements[1]["data"] }
                    #expect(Set(steps) == [42, ["pct": 1]])  // row 24
                }
                #expect(try await bull.hash(ids[0])["returnvalue"] == "null")
                try await python.order("rest")
            }
        }

        @Test(arguments: Generation.allCases)
        func row14FinishedJobsAreKeptAsTheProducerAsked(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let worker = bull.worker { _, context in
                    await context.log("row")
                    return nil
                }
                try await bull.working(worker) {
                    func run(_ keep: JSON) async throws -> String {
                        let id = try await python.add(bull.queue, "x", opts: ["removeOnComplete": keep])
                        try await eventually(describing: "job \(id) ended") {
                            try await bull.events(of: id).last == "completed"
                        }
                        return id
                    }
                    let gone = try await run(true)
                    #expect(try await bull.redis.command("EXISTS", bull.key(gone), bull.key("\(gone):logs")) == 0)
                    #expect(try await bull.redis.command("ZCARD", bull.key("completed")) == 0)
                    var ids: [String] = []
                    for _ in 0..<4 { ids.append(try await run(2)) }
                    #expect(Set(try await bull.scores("completed").keys) == Set(ids.suffix(2)))
                    #expect(try await bull.redis.command("EXISTS", bull.key(ids[0]), bull.key("\(ids[1]):logs")) == 0)
                    bull.clock.now = Date().milliseconds + 1_200
                    let last = try await run(["age": 1])
                    #expect(try await bull.scores("completed").keys.sorted() == [last])
                }
                // And theirs as ours asked.
                let keep = JobOptions(removeOnComplete: .removeAll, removeOnFail: .keepLast(1))
                let ids = try await bull.queue.add([
                    NewJob("gone", data: "{}", options: keep), NewJob("bad", data: #"{"fail":1}"#, options: keep),
                    NewJob("worse", data: #"{"fail":1}"#, options: keep),
                ])
                try await python.working(bull.queue) { try await bull.job(ids[2], in: .failed) }
                #expect(try await bull.scores("failed").keys.sorted() == [ids[2]])
                #expect(try await bull.redis.command("EXISTS", bull.key(ids[0]), bull.key(ids[1])) == 0)
            }
        }

        @Test(arguments: Generation.allCases)
        func row15OurLockIsSeenByThem(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let (started, go) = (Waiter<Void>(), Waiter<Void>())
                let worker = bull.worker("w", lock: .seconds(2), stalled: .milliseconds(200)) { _, _ in
                    started.resume(with: .success(()))
                    try await go.value()
                    return nil
                }
                // Their worker looks for stalled jobs as well, and has no slot to run any.
                let blocker = try await bull.queue.add("blocker", data: #"{"sleep":3500}"#)
                try await python.working(bull.queue, ["stalledInterval": 200]) {
                    try await bull.job(blocker, in: .active)
                    let id = try await python.add(bull.queue, "x")
                    try await bull.working(worker) {
                        try await started.value()
                        #expect(try await python.show(bull.queue, id)["state"] == "active")
                        await #expect(throws: PythonClient.Raised.self) {  // row 22
                            try await python.call(bull.queue, job: id, "remove")
                        }
                        let until = ContinuousClock.now + .milliseconds(2_500)  // longer than it holds
                        while ContinuousClock.now < until {
                            let left = try await bull.redis.command("PTTL", bull.key("\(id):lock")).number ?? 0
                            #expect((1...2_000).contains(left))
                        }
                        go.resume(with: .success(()))
                        let job = try await bull.job(id, in: .completed)
                        #expect(job?.stalledCount == 0 && job?.attemptsStarted == 1)
                    }
                    try await bull.job(blocker, in: .completed)
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row18OneStalledPassAnIntervalOverAllWorkers(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                try await python.working(bull.queue, ["stalledInterval": 100]) {
                    try await bull.working(bull.worker(stalled: .seconds(5))) {
                        // Either may have been first; ours lasts.
                        try await eventually(describing: "a pass of five seconds") {
                            try await bull.redis.command("PTTL", bull.key("stalled-check")).number ?? 0 > 3_000
                        }
                        let pass = try await bull.redis.command("GET", bull.key("stalled-check"))
                        let until = ContinuousClock.now + .milliseconds(700)
                        while ContinuousClock.now < until {
                            #expect(try await bull.redis.command("GET", bull.key("stalled-check")) == pass)
                        }
                    }
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row24LogsAreKeptAsAskedByBoth(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let theirs = try await python.add(bull.queue, "x", opts: ["keepLogs": 2])
                try await bull.working(
                    bull.worker { _, context in
                        for row in ["a", "b", "c"] { await context.log(row) }
                        return nil
                    }
                ) { try await bull.job(theirs, in: .completed) }
                #expect(try await bull.queue.logs(of: theirs) == ["b", "c"])
                let rows = try await python.call(bull.queue, "getJobLogs", .string(theirs))
                #expect(rows["logs"] == ["b", "c"] && rows["count"] == 2)

                let ours = try await bull.queue.add(
                    "x", data: #"{"log":["a","b","c"],"progress":[42,{"pct":1}]}"#, options: JobOptions(keepLogs: 2))
                try await python.working(bull.queue) { try await bull.job(ours, in: .completed) }
                let detail = try #require(try await bull.queue.find(ours))
                // Python keeps all where the producer wrote the option as it is stored; both must be told as they are.
                #expect(detail.logs.suffix(2) == ["b", "c"] && detail.logCount == detail.logs.count)
                #expect(try JSON(text: detail.job.progress ?? "") == ["pct": 1])
            }
        }
    }
}
