import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// What a producer leaves in Redis. Numbers are rows of the interoperability checklist of the layout sheet.
    @Suite struct ProducerTests {
        @Test func aPlainJobIsAHashAnIdInWaitAMarkerAndTwoEvents() async throws {  // 1
            try await Harness.with { bull in
                bull.clock.now = 1_700_000_000_123
                #expect(try await bull.queue.add("send", data: #"{"a":1}"#) == "1")
                let id = try await bull.queue.add("send", data: "null")
                #expect(id == "2")
                let hash = try await bull.hash(id)
                #expect(Set(hash.keys) == ["name", "data", "opts", "timestamp", "delay", "priority"])
                #expect(hash["timestamp"] == "1700000000123" && hash["delay"] == "0" && hash["priority"] == "0")
                #expect(hash["opts"] == #"{"attempts":1}"#)
                #expect(try await bull.list("wait") == ["2", "1"])
                #expect(try await bull.scores("marker") == ["0": 0])
                #expect(try await bull.events() == ["added", "waiting", "added", "waiting"])
                #expect(try await bull.redis.command("HGET", bull.key("meta"), "opts.maxLenEvents").text == "10000")
            }
        }

        @Test func delayedJobsOfOneInstantKeepTheirOrder() async throws {  // 3, 4
            try await Harness.with { bull in
                bull.clock.now = 1_700_000_000_000
                for name in ["a", "b", "c"] {
                    try await bull.queue.add(name, data: "{}", options: JobOptions(delay: .milliseconds(1_500)))
                }
                let due = 1_700_000_001_500
                #expect(
                    try await bull.scores("delayed") == ["1": due * 4096, "2": due * 4096 + 1, "3": due * 4096 + 2])
                #expect(try await bull.scores("marker") == ["1": due])
                #expect(try await bull.eventFields().last == ["event": "delayed", "jobId": "3", "delay": "\(due)"])
                #expect(try await bull.hash("1")["delay"] == "1500")
                #expect(try await bull.list("wait").isEmpty)

                let worker = bull.worker()
                bull.clock.now = due - 1
                guard case .scheduled(due) = try await worker.fetch(token: "t") else {
                    Issue.record("fetched before its time")
                    return
                }
                bull.clock.now = due
                for name in ["a", "b", "c"] { #expect(try await bull.take(worker, token: name)?.name == name) }
                #expect(try await bull.hash("1")["delay"] == "0")
                #expect(try await bull.eventFields().contains(["event": "waiting", "jobId": "1", "prev": "delayed"]))
            }
        }

        @Test func prioritiesRunAfterPlainJobsBestFirstAndInTurn() async throws {  // 5
            try await Harness.with { bull in
                for (name, priority) in [("five", 5), ("five again", 5), ("one", 1), ("plain", 0)] {
                    try await bull.queue.add(name, data: "{}", options: JobOptions(priority: priority))
                }
                let unit = 1 << 32
                #expect(try await bull.scores("prioritized") == ["1": 5 * unit + 1, "2": 5 * unit + 2, "3": unit + 3])
                let worker = bull.worker()
                var names: [String] = []
                while let job = try await bull.take(worker, token: "t") { names.append(job.name) }
                #expect(names == ["plain", "one", "five", "five again"])
                #expect(try await bull.redis.command("EXISTS", bull.key("pc")) == 0)
            }
        }

        @Test func aCustomIdIsStoredOnce() async throws {  // 10
            try await Harness.with { bull in
                let options = JobOptions(jobID: "start-e12-g3")
                #expect(try await bull.queue.add("start", data: #"{"n":1}"#, options: options) == "start-e12-g3")
                let before = try await bull.hash("start-e12-g3")
                #expect(try await bull.queue.add("other", data: #"{"n":2}"#, options: options) == "start-e12-g3")
                #expect(try await bull.hash("start-e12-g3") == before)
                #expect(try await bull.list("wait") == ["start-e12-g3"])
                let worker = bull.worker()
                let job = try #require(try await bull.take(worker, token: "t"))
                _ = try await worker.send(.completed(returnValue: "null"), of: job, token: "t")
                try await bull.queue.add("start", data: "{}", options: options)
                #expect(try await bull.list("wait").isEmpty)
                #expect(try await bull.events().filter { $0 == "duplicated" }.count == 2)
                #expect(try await bull.redis.command("GET", bull.key("id")) == "3")
            }
        }

        @Test(arguments: ["", "12", "0", "-3", "0:1", "a:b", "a:b:c:d"])
        func idsThatMeanSomethingElseAreRefused(id: String) async throws {  // 11
            try await Harness.with { bull in
                let error = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.add("x", data: "{}", options: JobOptions(jobID: id))
                }
                #expect(error?.code == .invalidJob)
                let counters = try await bull.redis.command("EXISTS", bull.key("id"))
                #expect(counters == 0)
            }
        }

        @Test func optionsAreWrittenAsOtherClientsReadThemAndReadAsTheyWrite() throws {  // 8
            let options = JobOptions(
                jobID: "a:b:c", attempts: 3, backoff: .exponential(5_000), removeOnComplete: .removeAll,
                removeOnFail: .keep(count: 5, age: .seconds(60)), keepLogs: 2)
            #expect(
                options.stored()
                    == #"{"attempts":3,"backoff":{"delay":5000,"type":"exponential"},"jobId":"a:b:c","kl":2,"removeOnComplete":true,"removeOnFail":{"age":60,"count":5}}"#
            )
            #expect(JobOptions(stored: options.stored()) == options)
            let once = JobOptions(
                removeOnComplete: .keep(count: nil, age: .seconds(9), limit: 7), removeOnFail: .keepAll,
                deduplication: Deduplication(id: "é", expiry: .seconds(1), extends: true, replaces: true))
            #expect(
                once.stored()
                    == #"{"attempts":1,"de":{"extend":true,"id":"é","replace":true,"ttl":1000},"removeOnComplete":{"age":9,"limit":7},"removeOnFail":false}"#
            )
            #expect(JobOptions(stored: once.stored()) == once)
            #expect(JobOptions(stored: #"{"attempts":0,"backoff":700,"removeOnFail":false}"#).backoff == .fixed(700))
            let odd = JobOptions(stored: #"{"attempts":null,"delay":1e+15,"removeOnComplete":1,"kl":"x","new":{}}"#)
            #expect(odd.attempts == 1 && odd.removeOnComplete == .keepLast(1) && odd.keepLogs == nil)
            #expect(JobOptions(stored: "not JSON") == JobOptions())
        }

        @Test func manyJobsAreAddedInOrderOrNone() async throws {
            try await Harness.with { bull in
                let ids = try await bull.queue.add((0..<450).map { NewJob("\($0)", data: "\($0)") })
                #expect(ids == (1...450).map(String.init))
                #expect(try await bull.list("wait") == ids.reversed())
                #expect(try await bull.queue.job("450")?.data == "449")
                let error = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.add([NewJob("good", data: "{}"), NewJob("bad", data: "{")])
                }
                #expect(error?.code == .invalidJob)
                #expect(try await bull.queue.counts()[.waiting] == 450)
                #expect(try await bull.queue.add([]) == [])
            }
        }

        @Test(arguments: [Deduplication(id: ""), Deduplication(id: "d", expiry: .zero)])
        func aDeduplicationThatHoldsNothingIsRefused(rule: Deduplication) async throws {
            try await Harness.with { bull in
                let error = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.add("x", data: "{}", options: JobOptions(deduplication: rule))
                }
                #expect(error?.code == .invalidJob)
            }
        }

        @Test func whatIsNotJSONAndQueuesWithSchedulersAreRefused() async throws {
            try await Harness.with { bull in
                let invalid = await #expect(throws: JobQueueError.self) { try await bull.queue.add("x", data: "{") }
                #expect(invalid?.code == .invalidJob)
                try await bull.redis.command("ZADD", bull.key("repeat"), 1, "nightly")
                let unsupported = await #expect(throws: JobQueueError.self) {
                    try await bull.queue.add("x", data: "{}")
                }
                #expect(unsupported?.code == .unsupportedQueue)
                let refused = await #expect(throws: JobQueueError.self) { try await bull.worker().run() }
                #expect(refused?.code == .unsupportedQueue)
                #expect(try await bull.redis.command("EXISTS", bull.key("events"), bull.key("id")) == 0)
            }
        }
    }
}

@Suite struct BackoffTests {
    static func job(made: Int, _ opts: String) -> Job { Job(id: "1", fields: ["atm": "\(made)", "opts": opts]) }

    @Test(arguments: [
        (0, #"{"attempts":3,"backoff":{"type":"exponential","delay":1000}}"#, 1_000),
        (1, #"{"attempts":3,"backoff":{"type":"exponential","delay":1000}}"#, 2_000),
        (0, #"{"attempts":2,"backoff":700}"#, 700),
        (0, #"{"attempts":2,"backoff":{"type":"fixed","delay":1000,"jitter":0.5}}"#, 750),
        (900_000, #"{"attempts":1000000,"backoff":{"type":"exponential","delay":1000}}"#, 1_000_000_000_000),
    ])
    func theNextAttemptWaits(made: Int, opts: String, milliseconds: Int) {
        let outcome = AttemptOutcome(of: Self.job(made: made, opts), failingWith: Refused(), chance: 0.5, now: 0)
        #expect(outcome == .retryLater(reason: "refused by the handler", milliseconds: milliseconds))
    }

    @Test func theLastAttemptAndAnUnrecoverableErrorAreFinal() {
        let last = AttemptOutcome(of: Self.job(made: 1, #"{"attempts":2}"#), failingWith: Refused(), chance: 0, now: 0)
        #expect(last == .failed(reason: "refused by the handler"))
        let vain = UnrecoverableJobError(reason: "no such user")
        let final = AttemptOutcome(of: Self.job(made: 0, #"{"attempts":9}"#), failingWith: vain, chance: 0, now: 0)
        #expect(final == .failed(reason: "no such user"))
        let again = AttemptOutcome(of: Self.job(made: 0, #"{"attempts":2}"#), failingWith: Refused(), chance: 0, now: 0)
        #expect(again == .retryNow(reason: "refused by the handler"))
    }
}
