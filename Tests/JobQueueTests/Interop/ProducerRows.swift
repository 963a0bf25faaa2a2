import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// The rows of the interoperability checklist of the layout sheet, ours beside both generations of BullMQ's Python
    /// client. What needs no other client (scores, fields, refusals) is in the suites beside this one.
    @Suite(PythonClients()) enum Interop {}
}

extension Live.Interop {
    typealias Generation = PythonClient.Generation

    /// A queue without blanks in its name: Python's clients call their connections by it.
    static func with(_ generation: Generation, _ body: (Harness, PythonClient) async throws -> Void) async throws {
        let python = try generation.client
        try await Harness.with(name: "q-\(UUID())") { bull in try await body(bull, python) }
    }

    /// What a producer leaves.
    @Suite struct ProducerRows {
        @Test(arguments: Generation.allCases)
        func row01APlainJobIsLaidOutAsPythonsOwn(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let data: JSON = ["a": [1, 2.5, nil], "b": "é😀"]
                let id = try await bull.queue.add("send", data: try data.text, options: JobOptions(attempts: 3))
                let shown = try await python.show(bull.queue, id)
                #expect(shown["name"] == "send" && shown["data"] == data && shown["opts"]["attempts"] == 3)
                #expect(shown["state"] == "waiting" && shown["delay"] == 0 && shown["priority"] == 0)

                try await Harness.with(name: "q-\(UUID())") { theirs in
                    let other = try await python.add(theirs.queue, "send", data: data, opts: ["attempts": 3])
                    #expect(other == id)
                    let (mine, yours) = (try await bull.hash(id), try await theirs.hash(id))
                    #expect(mine.keys.sorted() == yours.keys.sorted())
                    #expect(try JSON(text: mine["data"] ?? "") == JSON(text: yours["data"] ?? ""))
                    for column in ["wait"] {
                        #expect(try await bull.list(column) == theirs.list(column))
                    }
                    #expect(try await bull.scores("marker") == theirs.scores("marker"))
                    #expect(try await bull.eventFields() == theirs.eventFields())
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row02ABlockedWorkerStartsOurJobAtOnceAndOnlyForTheMarker(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                try await python.working(bull.queue, ["drainDelay": 5]) {
                    try await bull.blocked()
                    let id = try await bull.queue.add("x", data: "{}")
                    try await bull.job(id, in: .completed)
                    let start = try #require(try await python.starts(of: [id], in: bull.queue).first)
                    let job = try #require(try await bull.queue.job(id))
                    #expect(start.at - job.timestamp.milliseconds < 1_000)

                    try await bull.blocked()
                    try await bull.redis.command(
                        "HSET", bull.key("by-hand"), "name", "x", "data", "{}", "opts", #"{"attempts":0}"#,
                        "timestamp", 1, "delay", 0, "priority", 0)
                    try await bull.redis.command("LPUSH", bull.key("wait"), "by-hand")
                    let quiet = ContinuousClock.now + .milliseconds(300)
                    while ContinuousClock.now < quiet {
                        #expect(try await bull.queue.state(of: "by-hand") == .waiting)
                    }
                    try await bull.redis.command("ZADD", bull.key("marker"), 0, "0")
                    try await bull.job("by-hand", in: .completed, within: .seconds(3))
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row03ADelayedJobStartsInTime(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                try await python.working(bull.queue) {
                    try await bull.blocked()
                    let id = try await bull.queue.add(
                        "x", data: "{}", options: JobOptions(delay: .milliseconds(1_500)))
                    try await bull.job(id, in: .completed)
                    let start = try #require(try await python.starts(of: [id], in: bull.queue).first)
                    let job = try #require(try await bull.queue.job(id))
                    // Their workers round up to whole seconds.
                    #expect((1_500..<3_500).contains(start.at - job.timestamp.milliseconds))
                    #expect(job.delay == .zero)
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row04JobsOfOneInstantRunInOrder(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                bull.clock.now = Date().milliseconds
                let jobs = ["a", "b", "c"].map {
                    NewJob($0, data: "{}", options: JobOptions(delay: .milliseconds(300)))
                }
                let ids = try await bull.queue.add(jobs)
                try await python.working(bull.queue) {
                    for id in ids { try await bull.job(id, in: .completed) }
                }
                #expect(try await python.starts(of: ids, in: bull.queue).map(\.name) == ["a", "b", "c"])
            }
        }

        @Test(arguments: Generation.allCases)
        func row05PrioritiesRunAfterPlainJobsBestFirst(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let five = try await bull.queue.add("five", data: "{}", options: JobOptions(priority: 5))
                let again = try await python.add(bull.queue, "again", opts: ["priority": 5])
                let one = try await bull.queue.add("one", data: "{}", options: JobOptions(priority: 1))
                let plain = try await python.add(bull.queue, "plain")
                let unit = 1 << 32
                #expect(
                    try await bull.scores("prioritized") == [five: 5 * unit + 1, again: 5 * unit + 2, one: unit + 3])
                let ids = [five, again, one, plain]
                try await python.working(bull.queue) {
                    for id in ids { try await bull.job(id, in: .completed) }
                    try await eventually(describing: "the counter gone") {
                        try await bull.redis.command("EXISTS", bull.key("pc")) == 0
                    }
                }
                #expect(
                    try await python.starts(of: ids, in: bull.queue).map(\.name) == ["plain", "one", "five", "again"])
            }
        }

        @Test(arguments: Generation.allCases)
        func row08AFixedBackoffIsKeptByTheirWorker(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let id = try await bull.queue.add(
                    "x", data: #"{"fail":1}"#, options: JobOptions(attempts: 2, backoff: .fixed(700)))
                try await python.working(bull.queue) {
                    try await bull.job(id, in: .delayed)
                    #expect(try await bull.hash(id)["delay"] == "700")
                    try await bull.job(id, in: .completed)
                }
            }
        }

        @Test(arguments: Generation.allCases)
        func row10ACustomIdIsStoredOnceWhoeverAddsIt(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let mine = JobOptions(jobID: "only-one")
                let yours: JSON = ["jobId": "only-one"]
                #expect(try await bull.queue.add("first", data: #"{"n":1}"#, options: mine) == "only-one")
                let before = try await bull.hash("only-one")
                #expect(try await python.add(bull.queue, "second", data: ["n": 2], opts: yours) == "only-one")
                #expect(try await bull.hash("only-one") == before)
                #expect(try await bull.events() == ["added", "waiting", "duplicated"])
                #expect(try await bull.redis.command("GET", bull.key("id")) == "2")
                try await bull.working(bull.worker()) { try await bull.job("only-one", in: .completed) }
                try await python.add(bull.queue, "third", opts: yours)
                #expect(try await bull.queue.state(of: "only-one") == .completed)

                try await python.add(bull.queue, "first", data: ["n": 1], opts: ["jobId": "theirs"])
                #expect(
                    try await bull.queue.add("x", data: "{}", options: JobOptions(jobID: "theirs")) == "theirs")
                #expect(try await bull.queue.job("theirs")?.name == "first")
            }
        }

        @Test(arguments: Generation.allCases)
        func row11IdsWeRefuseAreRunWhenPythonMadeThem(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let ids = ["12", "a:b"]
                for id in ids {
                    await #expect(throws: JobQueueError.self) {
                        try await bull.queue.add("x", data: "{}", options: JobOptions(jobID: id))
                    }
                    #expect(try await python.add(bull.queue, "x", opts: ["jobId": .string(id)]) == id)
                }
                try await bull.working(bull.worker()) {
                    for id in ids { try await bull.job(id, in: .completed) }
                }
                // Our own numbers step over theirs.
                let numbers = try await bull.queue.add((0..<12).map { _ in NewJob("n", data: "{}") })
                #expect(!numbers.contains("12") && Set(numbers).count == 12)
            }
        }

        @Test(arguments: Generation.allCases)
        func row12DataAndReturnValuesArriveAsTheyWere(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let data: JSON = ["u": "é😀", "n": [1, 2.5, nil]]
                let toOurs = try await python.add(bull.queue, "x", data: data)
                try await bull.working(
                    bull.worker { job, _ in
                        let arrived = try JSON(text: job.data)
                        #expect(arrived == data)
                        return job.data
                    }
                ) { try await bull.job(toOurs, in: .completed) }
                #expect(try await python.show(bull.queue, toOurs)["returnvalue"] == data)

                let toTheirs = try await bull.queue.add("x", data: try JSON.object(["return": data]).text)
                try await python.working(bull.queue) { try await bull.job(toTheirs, in: .completed) }
                let returned = try await bull.queue.job(toTheirs)?.returnValue ?? ""
                #expect(try JSON(text: returned) == data)
            }
        }
    }
}
