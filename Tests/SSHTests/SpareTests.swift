import Foundation
import SSH
import TestSupport
import Testing

extension Live {
    @Suite struct SpareTests {
        private func greet(_ session: SSHSession, _ port: Int) async throws -> SSHChannel {
            let channel = try await session.beginDirectTCPIP(port: port, sending: Array("hello".utf8))
            var answer: [UInt8] = []
            while answer.count < 5, let more = try await channel.read() { answer += more }
            #expect(answer == Array("hello".utf8))
            return channel
        }

        @Test func theNextConversationsFindTheirChannelsOpen() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    for _ in 0..<10 {
                        let channel = try await greet(session, server.port)
                        await channel.close()
                    }
                    // What was taken is made again, and no more of it.
                    try await eventually(describing: "two that nobody uses, at both ends") {
                        let connections = await server.openConnections
                        return await session.channelCount == 2 && connections == 2
                    }
                    let one = try await greet(session, server.port)
                    #expect(await session.channelCount <= 3)
                    await one.close()
                }
                try await eventually(describing: "the server's end") { await server.openConnections == 0 }
            }
        }

        @Test func manyAtOnceGetEachTheirOwn() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<100 {
                            group.addTask {
                                let message = [UInt8](repeating: UInt8(number), count: 1_000 + number)
                                let channel = try await session.beginDirectTCPIP(port: server.port, sending: message)
                                var answer: [UInt8] = []
                                while answer.count < message.count, let more = try await channel.read() {
                                    answer += more
                                }
                                #expect(answer == message)
                                await channel.close()
                            }
                        }
                        try await group.waitForAll()
                    }
                    try await eventually(describing: "those that nobody uses") { await session.channelCount <= 2 }
                }
            }
        }

        @Test func oneThatItsOtherEndHasClosedIsNotTaken() async throws {
            try await LoopbackServer.with(.pattern(count: 3)) { server in
                try await withSession { session in
                    for _ in 0..<5 {
                        let channel = try await session.beginDirectTCPIP(port: server.port, sending: [1])
                        let (count, isWhole) = try await readPattern(channel)
                        #expect(count == 3 && isWhole)
                        await channel.close()
                    }
                }
            }
        }

        @Test func aPortThatRefusesSaysSoEveryTime() async throws {
            try await withSession { session in
                for _ in 0..<3 {
                    #expect(
                        try await failure { try await session.beginDirectTCPIP(port: 1, sending: [1]) }
                            == .channelRefused)
                }
                try await eventually(describing: "no channel") { await session.channelCount == 0 }
            }
        }
    }
}
