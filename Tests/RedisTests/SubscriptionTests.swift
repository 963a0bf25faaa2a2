import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

extension Live {
    @Suite struct SubscriptionTests {
        let channel = "test:\(UUID())"

        @Test func nothingPublishedAfterTheBodyBeganIsMissed() async throws {
            try await withClient { redis in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for subscriber in 0..<20 {
                        group.addTask {
                            for round in 0..<25 {
                                let channel = "\(channel):\((subscriber + round) % 7)"  // shared, coming and going
                                let text = "\(subscriber)/\(round)"
                                try await redis.withSubscription(to: [channel]) { messages in
                                    try await redis.command("PUBLISH", "\(channel)", "\(text)")
                                    try await withDeadline(.seconds(20), "message \(text)") {
                                        for try await message in messages {
                                            if message == .message(channel: channel, payload: Array(text.utf8)) {
                                                return
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                // The last one left each channel, and the server was told.
                try await eventually(describing: "no channel subscribed to") {
                    try await redis.command("PUBSUB", "CHANNELS", "\(channel)*") == []
                }
            }
        }

        @Test func afterAReconnectionItIsSaidAndMessagesComeAgain() async throws {
            try await RedisServer.with { server in  // its own: all its subscribers are killed
                try await withClient(url: server.url) { redis in
                    try await redis.withSubscription(to: [channel]) { messages in
                        var reader = messages.makeAsyncIterator()
                        try await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
                        #expect(try await reader.next() == .resubscribed)
                        try await redis.command("PUBLISH", "\(channel)", "again")
                        #expect(try await reader.next() == .message(channel: channel, payload: Array("again".utf8)))
                    }
                }
            }
        }

        @Test func aSlowReaderIsToldThatItMissedSome() async throws {
            try await withClient { redis in
                try await redis.withSubscription(to: [channel]) { messages in
                    let count = RedisSubscription.limit + 1
                    _ = try await redis.pipeline((0..<count).map { ["PUBLISH", "\(channel)", "\($0)"] })
                    try await redis.withSubscription(to: [channel]) { _ in
                        try await redis.command("PUBLISH", "\(channel)", "last")
                    }
                    var seen: [RedisMessage] = []
                    for try await message in messages {
                        seen.append(message)
                        if message == .message(channel: channel, payload: Array("last".utf8)) { break }
                    }
                    #expect(seen.first == .resubscribed)
                    #expect(seen.count < 10)
                }
            }
        }

        @Test func aCancelledReaderEndsAndAClosedClientEndsTheSequence() async throws {
            let redis = try RedisClient(url: LiveRedis.url, logger: quiet())
            try await redis.withSubscription(to: [channel]) { messages in
                let reader = Task { try await messages.first { _ in true } }
                reader.cancel()
                await #expect(throws: CancellationError.self) { try await reader.value }
                await redis.close()
                var rest = messages.makeAsyncIterator()
                let afterTheEnd = try await rest.next()
                #expect(afterTheEnd == nil)
            }
        }
    }
}
