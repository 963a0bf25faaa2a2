import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live.Interop {
    /// Row 26: every mode, with either client first. Owners and refused adds are of different clients.
    @Suite struct DeduplicationRows {
        struct Add: Sendable {
            let bull: Harness
            let python: PythonClient
            let oursFirst: Bool

            /// The `turn`-th add of the same deduplication id: clients take turns.
            func callAsFunction(
                _ turn: Int, _ rule: Deduplication, delay: Int = 0, data: JSON = [:]
            ) async throws -> String {
                if (turn % 2 == 0) == oursFirst {
                    let options = JobOptions(delay: .milliseconds(delay), deduplication: rule)
                    return try await bull.queue.add("job \(turn)", data: try data.text, options: options)
                }
                var stored: [String: JSON] = ["id": .string(rule.id)]
                if let expiry = rule.expiry { stored["ttl"] = .number(Double(expiry.milliseconds)) }
                if rule.extends { stored["extend"] = true }
                if rule.replaces { stored["replace"] = true }
                if rule.keepsLastIfActive { stored["keepLastIfActive"] = true }
                return try await python.add(
                    bull.queue, "job \(turn)", data: data,
                    opts: ["deduplication": .object(stored), "delay": .number(Double(delay))])
            }
        }

        static func with(_ generation: Generation, _ oursFirst: Bool, _ body: (Harness, Add) async throws -> Void)
            async throws
        {
            try await Live.Interop.with(generation) { bull, python in
                try await body(bull, Add(bull: bull, python: python, oursFirst: oursFirst))
            }
        }

        @Test(arguments: Generation.allCases, [true, false])
        func row26TheIdIsHeldUntilItsJobHasEnded(generation: Generation, oursFirst: Bool) async throws {
            try await Self.with(generation, oursFirst) { bull, add in
                let rule = Deduplication(id: "d")
                let first = try await add(0, rule)
                #expect(try await add(1, rule) == first)
                #expect(try await add(2, rule) == first)
                let told = try await bull.eventFields().filter { $0["event"] == "deduplicated" }
                #expect(told.count == 2 && told.allSatisfy { $0["jobId"] == first && $0["deduplicationId"] == "d" })
                #expect(told.map { $0["deduplicatedJobId"] } == ["2", "3"])
                #expect(try await bull.hash(first)["deid"] == "d")
                #expect(try await bull.queue.job(first)?.options.deduplication == rule)
                try await bull.working(bull.worker()) { try await bull.job(first, in: .completed) }
                #expect(try await bull.redis.command("EXISTS", bull.key("de:d")) == 0)
                #expect(try await add(3, rule) != first)
                try await bull.queue.remove(try await add(4, rule))
                #expect(try await bull.redis.command("EXISTS", bull.key("de:d")) == 0)
            }
        }

        @Test(arguments: Generation.allCases, [true, false])
        func row26AnExpiryHoldsTheIdWhateverBecomesOfTheJob(generation: Generation, oursFirst: Bool) async throws {
            try await Self.with(generation, oursFirst) { bull, add in
                let first = try await add(0, Deduplication(id: "d", expiry: .seconds(60)))
                try await bull.working(bull.worker()) { try await bull.job(first, in: .completed) }
                #expect(try await add(1, Deduplication(id: "d", expiry: .seconds(90))) == first)
                let left = try await bull.redis.command("PTTL", bull.key("de:d")).number ?? 0
                #expect((1...60_000).contains(left))
                #expect(try await add(2, Deduplication(id: "d", expiry: .seconds(120), extends: true)) == first)
                let extended = try await bull.redis.command("PTTL", bull.key("de:d")).number ?? 0
                #expect((90_001...120_000).contains(extended))
                #expect(try await bull.queue.counts()[.waiting] == 0)
            }
        }

        @Test(arguments: Generation.allCases, [true, false])
        func row26ADelayedJobGivesWayToTheNewer(generation: Generation, oursFirst: Bool) async throws {
            try await Self.with(generation, oursFirst) { bull, add in
                let rule = Deduplication(id: "d", expiry: .seconds(60), replaces: true)
                let first = try await add(0, rule, delay: 30_000)
                let second = try await add(1, rule, delay: 30_000, data: ["n": 2])
                let third = try await add(2, rule, delay: 30_000, data: ["n": 3])
                #expect(Set([first, second, third]).count == 3)
                #expect(try await bull.scores("delayed").keys.sorted() == [third])
                #expect(try await bull.queue.job(first) == nil)
                #expect(try await bull.redis.command("GET", bull.key("de:d")) == RedisValue(third))
                #expect(try await bull.events(of: second).contains("removed"))
                try await bull.queue.promote(third)
                #expect(try await add(3, rule) == third)  // it waits, and is not replaced any more
            }
        }

        @Test(arguments: Generation.allCases, [true, false])
        func row26TheLastOneAddedMeanwhileRunsAfterTheActive(generation: Generation, oursFirst: Bool) async throws {
            try await Self.with(generation, oursFirst) { bull, add in
                let rule = Deduplication(id: "d", keepsLastIfActive: true)
                let owner = try await add(0, rule)
                let worker = bull.worker()
                let job = try #require(try await bull.take(worker, token: "t"))
                #expect(try await add(1, rule, data: ["n": 1]) == owner)
                #expect(try await add(2, rule, data: ["n": 2]) == owner)
                #expect(try await bull.queue.counts()[.waiting] == 0)
                let next = try #require(try await worker.send(.completed(returnValue: "1"), of: job, token: "t"))
                #expect(next.name == "job 2" && next.deduplicationID == "d")
                #expect(try JSON(text: next.data)["n"] == 2)
                #expect(try await bull.redis.command("GET", bull.key("de:d")) == RedisValue(next.id))
                _ = try await worker.send(.completed(returnValue: "1"), of: next, token: "t")
                #expect(try await bull.redis.command("EXISTS", bull.key("de:d"), bull.key("dn:d")) == 0)
            }
        }

        @Test(arguments: Generation.allCases)
        func row26TheirWorkerStartsTheLastThatOursAdded(generation: Generation) async throws {
            try await Live.Interop.with(generation) { bull, python in
                let options = JobOptions(deduplication: Deduplication(id: "d", keepsLastIfActive: true))
                let owner = try await bull.queue.add("owner", data: #"{"sleep":500}"#, options: options)
                try await python.working(bull.queue) {
                    try await bull.job(owner, in: .active)
                    for name in ["second", "third"] {
                        #expect(try await bull.queue.add(name, data: "{}", options: options) == owner)
                    }
                    try await bull.job("3", in: .completed)
                }
                #expect(
                    try await python.starts(of: [owner, "2", "3"], in: bull.queue).map(\.name) == ["owner", "third"])
            }
        }
    }
}

extension RedisValue {
    init(_ text: String) { self = .string(Array(text.utf8)) }
}
