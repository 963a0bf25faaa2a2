import EventLoop
import Foundation
import Logging
import Redis
import TestSupport
import Testing

@Suite(LiveRedis()) enum Live {}

func quiet() -> Logger {
    var logger = Logger(label: "martlet.redis.test")
    logger.logLevel = .critical
    return logger
}

@discardableResult
func withClient<R>(url: String = LiveRedis.url, _ body: (RedisClient) async throws -> R) async throws -> R {
    let client = try RedisClient(url: url, logger: quiet())
    do {
        let result = try await body(client)
        await client.close()
        return result
    } catch {
        await client.close()
        throw error
    }
}

extension Live {
    @Suite struct CommandTests {
        let key = "test:\(UUID())"  // its own: the server is shared and tests run in parallel

        @Test func everyKindOfReplyArrivesAsItIs() async throws {
            try await withClient { redis in
                let bytes: [UInt8] = [0, 13, 10, 255, 36]
                #expect(try await redis.command("SET", "\(key)", RedisArgument(bytes)) == "OK")
                #expect(try await redis.command("GET", "\(key)") == .string(bytes))
                #expect(try await redis.command("GET", "\(key):none") == nil)
                #expect(try await redis.command("APPEND", "\(key)", "") == 5)
                let nested = try await redis.command("EVAL", "return {1,'a',{'b',false,{}},{err='E x'}}", 0)
                #expect(nested == [1, "a", ["b", nil, []], .error("E x")])
                let large = [UInt8](repeating: 7, count: 5 << 20)
                try await redis.command("SET", "\(key)", RedisArgument(large))
                #expect(try await redis.command("GET", "\(key)") == .string(large))
            }
        }

        @Test func anErrorReplyIsThrownAndOnlyItsCommandFails() async throws {
            try await withClient { redis in
                let error = await #expect(throws: RedisError.self) { try await redis.command("INCR") }
                #expect(error?.code == .server)
                #expect(error?.serverCode == "ERR")
                let replies = try await redis.pipeline([
                    ["SET", "\(key)", "x"], ["INCR", "\(key)"], ["GET", "\(key)"],
                ])
                #expect(replies[0] == "OK")
                #expect(replies[2] == "x")
                if case .error(let text) = replies[1] {
                    #expect(text.contains("not an integer"))
                } else {
                    Issue.record("\(replies[1])")
                }
            }
        }

        @Test func tenThousandCommandsOf64TasksGetTheirOwnReplies() async throws {
            try await withClient { redis in
                let began = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for task in 0..<64 {
                        group.addTask {
                            for number in 0..<157 {
                                let text = "\(task)/\(number)"
                                let reply = try await redis.command("ECHO", "\(text)")
                                if reply.text != text { throw RedisError(.protocolViolation, "\(text): \(reply)") }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let elapsed = ContinuousClock.now - began
                print(
                    "redis: \(64 * 157) commands of 64 tasks, \(Int(Double(64 * 157) / (elapsed / .seconds(1)))) a second"
                )
            }
        }

        @Test func aCancelledCommandEndsAtOnceAndShiftsNoReply() async throws {
            try await RedisConnection.withConnection(url: LiveRedis.url) { redis in
                let blocked = Task { try await redis.command("BLPOP", "\(key)", 0) }
                try await withClient { other in
                    try await eventually(describing: "the blocked command in CLIENT LIST") {
                        try await other.command("CLIENT", "LIST").text?.contains("cmd=blpop") == true
                    }
                }
                async let after = redis.command("ECHO", "after")
                blocked.cancel()
                await #expect(throws: CancellationError.self) { try await blocked.value }
                try await withClient { other in try await other.command("RPUSH", "\(key)", "for nobody") }
                #expect(try await after == "after")
            }
        }

        @Test func aScriptIsSentOnceAndAgainAfterAFlush() async throws {
            let script = RedisScript("sum", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
            try await RedisServer.with { server in  // its own: what all clients ran is counted
                try await withClient(url: server.url) { redis in
                    #expect(try await redis.eval(script, keys: [key], arguments: [2]) == 2)
                    try await redis.command("CONFIG", "RESETSTAT")
                    #expect(try await redis.eval(script, keys: [key], arguments: [3]) == 5)
                    let statistics = try await redis.command("INFO", "commandstats").text ?? ""
                    #expect(statistics.contains("cmdstat_evalsha:") && !statistics.contains("cmdstat_eval:"))
                    try await redis.command("SCRIPT", "FLUSH")
                    #expect(try await redis.eval(script, keys: [key], arguments: [1]) == 6)
                }
            }
        }

        @Test func databaseAndNameAreSetBeforeTheFirstCommand() async throws {
            try await RedisConnection.withConnection(url: LiveRedis.url + "?db=3", name: "named") { redis in
                let info = try await redis.command("CLIENT", "INFO").text ?? ""
                #expect(info.contains(" name=named ") && info.contains(" db=3 "))
            }
        }
    }
}

@Suite struct EndpointTests {
    @Test(arguments: [
        "", "localhost", "rediss://h", "http://h", "redis://h:0", "redis://h/x", "unix://", "unix://rel/x",
    ])
    func aBadAddressIsRefusedAtOnce(url: String) {
        let error = #expect(throws: RedisError.self) { _ = try RedisClient(url: url, logger: quiet()) }
        #expect(error?.code == .invalidURL)
    }

    @Test func aPasswordIsNotShown() throws {
        let client = try RedisClient(url: "redis://me:secret@10.0.0.1:7000/2", logger: quiet())
        #expect(client.server == "Redis at 10.0.0.1:7000 database 2")
    }
}
