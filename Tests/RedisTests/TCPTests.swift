import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

/// Over TCP, to servers that are not quite Redis. One that echoes answers each command with the command: that is a
/// valid reply.
@Suite struct TCPTests {
    @Test func aHostNameIsResolvedAndItsAddressesTried() async throws {
        try await LoopbackServer.with(.echo) { server in  // listens on 127.0.0.1 only
            try await RedisConnection.withConnection(url: "redis://localhost:\(server.port)", logger: quiet()) {
                redis in
                let echoed = try await redis.command("SET", "key", "value")
                #expect(echoed == ["SET", "key", "value"])
                let large = String(repeating: "x", count: 3 << 20)
                #expect(try await redis.command("SET", "\(large)") == ["SET", .string(Array(large.utf8))])
            }
        }
    }

    @Test(arguments: ["redis://127.0.0.1:1", "redis://no-such-host.invalid:1"])
    func whereNothingListensACommandSaysSoInTime(url: String) async throws {
        try await withClient(url: url) { redis in
            let began = ContinuousClock.now
            let error = await #expect(throws: RedisError.self) { try await redis.command("PING") }
            #expect(error?.code == .connectionFailed)
            #expect(error?.message.contains(redis.server) == true)
            #expect(ContinuousClock.now - began < RedisConnection.patience + .seconds(2))
            await redis.close()
            let closed = await #expect(throws: RedisError.self) { _ = try await redis.command("PING") }
            #expect(closed?.code == .closed)
        }
    }

    @Test(arguments: [LoopbackServer.Behaviour.silence, .ticks(every: .milliseconds(1)), .pattern(count: 1 << 20)])
    func aServerThatIsNoRedisIsGivenUpInTime(behaviour: LoopbackServer.Behaviour) async throws {
        try await LoopbackServer.with(behaviour) { server in
            try await withClient(url: "redis://127.0.0.1:\(server.port)") { redis in
                let began = ContinuousClock.now
                let error = await #expect(throws: RedisError.self) { try await redis.command("PING") }
                #expect(error?.code == .connectionFailed)
                #expect(ContinuousClock.now - began < RedisConnection.patience + .seconds(2))
            }
        }
    }
}

extension Live {
    @Suite struct ParserTests {
        @Test func aReplyTheParserCannotHoldCostsOnlyItsConnection() async throws {
            try await withClient { redis in
                let error = await #expect(throws: RedisError.self) {
                    try await redis.command("EVAL", "return {{{{{{{{{{1}}}}}}}}}}", 0)
                }
                #expect(error?.code == .protocolViolation)
                let next = try await redis.command("ECHO", "next")
                #expect(next == "next")
            }
        }
    }
}
