import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// What other clients may have set on a queue or a job, and this one must respect.
    @Suite struct LimitTests {
        @Test func theQueuesOwnLimitsHold() async throws {  // 25, our side
            try await Harness.with { bull in
                for _ in 0..<3 { try await bull.queue.add("x", data: "{}") }
                let worker = bull.worker()
                try await bull.redis.command("HSET", bull.key("meta"), "concurrency", 1)
                let first = try #require(try await bull.take(worker, token: "a"))
                #expect(try await bull.take(worker, token: "b") == nil)
                #expect(try await worker.send(.completed(returnValue: "1"), of: first, token: "a")?.id == "2")
                #expect(try await bull.list("active") == ["2"])

                try await bull.redis.command("HDEL", bull.key("meta"), "concurrency")
                try await bull.redis.command("HSET", bull.key("meta"), "max", 1, "duration", 60_000)
                #expect(try await bull.take(worker, token: "c")?.id == "3")
                try await bull.queue.add("x", data: "{}")
                guard case .limited(let wait) = try await worker.fetch(token: "d") else {
                    Issue.record("taken beyond the limit")
                    return
                }
                #expect((1...60_000).contains(wait))
            }
        }

        @Test func aFinishedJobGivesItsDeduplicationIdFreeAndStartsWhatWaitedForIt() async throws {  // 26, our side
            try await Harness.with { bull in
                let worker = bull.worker()
                func take(owning name: String, expiry: [RedisArgument] = []) async throws -> Job {
                    let id = try await bull.queue.add("x", data: "{}")
                    try await bull.redis.command("HSET", bull.key(id), "deid", "\(name)")
                    try await bull.redis.command(["SET", bull.key("de:\(name)"), "\(id)"] + expiry)
                    return try #require(try await bull.take(worker, token: "t"))
                }
                let plain = try await take(owning: "plain")
                _ = try await worker.send(.completed(returnValue: "1"), of: plain, token: "t")
                let timed = try await take(owning: "timed", expiry: ["PX", 60_000])
                _ = try await worker.send(.completed(returnValue: "1"), of: timed, token: "t")
                #expect(try await bull.redis.command("EXISTS", bull.key("de:plain")) == 0)
                #expect(try await bull.redis.command("EXISTS", bull.key("de:timed")) == 1)

                let owner = try await take(owning: "last")
                try await bull.redis.command(
                    "HSET", bull.key("dn:last"), "name", "next", "data", "7", "opts", "{}", "jid", "9")
                let next = try await worker.send(.completed(returnValue: "1"), of: owner, token: "t")
                #expect(next?.id == "9" && next?.name == "next" && next?.data == "7")
                #expect(try await bull.redis.command("GET", bull.key("de:last")) == "9")
                #expect(try await bull.redis.command("EXISTS", bull.key("dn:last")) == 0)
            }
        }
    }
}
