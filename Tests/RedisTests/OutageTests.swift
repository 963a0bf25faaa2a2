import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

/// Names of the open descriptors of this process.
func descriptorCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
}

func residentBytes() throws -> Int {
    let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")[1]
    return (Int(pages) ?? 0) * 4_096
}

/// Servers that go away. Each test has its own.
extension Live {
    @Suite(.serialized) struct OutageTests {
        @Test func aKilledConnectionIsMadeAgain() async throws {
            try await RedisServer.with { server in
                try await withClient(url: server.url) { redis in
                    for round in 0..<20 {
                        let id = try await redis.command("CLIENT", "ID").number ?? 0
                        try await RedisConnection.withConnection(url: server.url) { other in
                            try await other.command("CLIENT", "KILL", "ID", RedisArgument(id))
                        }
                        // Either it was written before the loss was seen, and says so, or it is answered.
                        do {
                            #expect(try await redis.command("ECHO", RedisArgument(round)).number == round)
                        } catch let error as RedisError {
                            #expect(error.code == .connectionLost)
                            #expect(try await redis.command("ECHO", RedisArgument(round)).number == round)
                        }
                    }
                }
            }
        }

        @Test func commandsWaitForARestartAndEndWithinTheirBound() async throws {
            try await RedisServer.with { server in
                try await withClient(url: server.url) { redis in
                    try await redis.command("SET", "kept", "yes")
                    try await server.stop()
                    async let waiting = redis.command("GET", "kept")
                    try await server.start()
                    #expect(try await waiting == "yes")
                    try await server.kill()
                    let began = ContinuousClock.now
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for _ in 0..<50 {
                            group.addTask {
                                let error = await #expect(throws: RedisError.self) { try await redis.command("PING") }
                                #expect(error?.code == .connectionFailed || error?.code == .connectionLost)
                            }
                        }
                        try await group.waitForAll()
                    }
                    #expect(ContinuousClock.now - began < RedisConnection.patience + .seconds(2))
                    try await server.start()
                    #expect(try await redis.command("GET", "kept") == "yes")
                }
            }
        }

        @Test func aServerThatDoesNotAnswerIsGivenUp() async throws {
            try await RedisServer.with { server in
                try await RedisConnection.withConnection(url: server.url) { redis in
                    try await redis.command("PING")
                    try await RedisConnection.withConnection(url: server.url) { other in
                        try await other.command("CLIENT", "PAUSE", "1500", "ALL")
                    }
                    let error = await #expect(throws: RedisError.self) {
                        try await redis.command(["PING"], replyLimit: .milliseconds(100))
                    }
                    #expect(error?.code == .timeout)
                    #expect(try await redis.command("ECHO", "back") == "back")
                }
            }
        }

        @Test func aWrongPasswordFailsAtOnceAndARightOneWorks() async throws {
            try await RedisServer.with { server in
                try await withClient(url: server.url) { redis in
                    try await redis.command("CONFIG", "SET", "requirepass", "right")
                }
                let path = server.url.dropFirst("unix://".count)
                let began = ContinuousClock.now
                for login in ["", ":wrong@"] {
                    try await withClient(url: "unix://\(login)\(path)") { redis in
                        let error = await #expect(throws: RedisError.self) { try await redis.command("PING") }
                        #expect(error?.message.contains("login refused") == true)
                        #expect(error?.message.contains("wrong") == false)
                    }
                }
                #expect(ContinuousClock.now - began < .seconds(3))
                try await withClient(url: "unix://:right@\(path)") { redis in
                    #expect(try await redis.command("PING") == "PONG")
                    try await redis.command("CONFIG", "SET", "requirepass", "")
                }
            }
        }

        @Test func twoHundredReconnectionsLeaveNothingBehind() async throws {
            try await RedisServer.with { server in
                try await withClient(url: server.url) { redis in
                    func reconnect(_ times: Int) async throws {
                        for _ in 0..<times {
                            _ = try? await redis.command("QUIT")
                            // Written before the server's hanging up is seen, it is lost with the connection.
                            if (try? await redis.command("PING")) == nil { try await redis.command("PING") }
                        }
                    }
                    try await reconnect(20)
                    // Other suites of this process open and allocate meanwhile: what we leave shows in every round.
                    var rounds: [(descriptors: Int, bytes: Int)] = []
                    repeat {
                        let (descriptors, bytes) = (try descriptorCount(), try residentBytes())
                        try await reconnect(200)
                        rounds.append((try descriptorCount() - descriptors, try residentBytes() - bytes))
                    } while rounds.count < 5 && !rounds.contains { $0.descriptors <= 2 && $0.bytes < 4 << 20 }
                    print("redis: 200 reconnections leave", rounds)
                    #expect(rounds.contains { $0.descriptors <= 2 && $0.bytes < 4 << 20 })
                }
            }
        }
    }
}
