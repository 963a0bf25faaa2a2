import Foundation
import SSH
import TestSupport
import Testing

/// Reads until the end, and checks that what came is the pattern.
func readPattern(_ channel: SSHChannel, slowly: Bool = false) async throws -> (count: Int, isWhole: Bool) {
    var count = 0
    var isWhole = true
    while let bytes = try await channel.read() {
        isWhole = isWhole && Pattern.holds(bytes, at: count)
        count += bytes.count
        if slowly { try await Task.sleep(for: .microseconds(500)) }  // this is the slowness, not a wait
    }
    return (count, isWhole)
}

/// Writes, and reads as much again.
func echo(_ bytes: [UInt8], over channel: SSHChannel) async throws -> [UInt8] {
    async let writing: Void = channel.write(bytes)
    var answer: [UInt8] = []
    while answer.count < bytes.count, let more = try await channel.read() { answer += more }
    try await writing
    return answer
}

extension Live {
    @Suite struct ChannelTests {
        @Test func whatIsWrittenComesBackAndEndsWithItsEnd() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: server.port)
                    #expect(try await echo(Array("hello".utf8), over: channel) == Array("hello".utf8))
                    let large = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 255) }
                    #expect(try await echo(large, over: channel) == large)
                    try await channel.sendEOF()
                    #expect(try await channel.read() == nil)
                    await channel.close()
                    await channel.close()
                    #expect(try await failure { try await channel.read() } == .channelClosed)
                }
                try await eventually(describing: "the server's end") { await server.openConnections == 0 }
            }
        }

        @Test func aPortNobodyListensOnIsRefusedAndTheSessionGoesOn() async throws {
            try await withSession { session in
                let error = await #expect(throws: SSHError.self) { try await session.openDirectTCPIP(port: 1) }
                #expect(error?.code == .channelRefused)
                #expect(error?.message.contains("127.0.0.1:1") == true)
                #expect(session.isAlive)
                let result = try await session.exec("exit 0")
                #expect(result.status == 0)
            }
        }

        @Test func twoHundredChannelsAtOnce() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    try await withThrowingTaskGroup(of: Bool.self) { group in
                        for number in 0..<200 {
                            group.addTask {
                                let channel = try await session.openDirectTCPIP(port: server.port)
                                let message = [UInt8](repeating: UInt8(number), count: 1000 + number)
                                let answer = try await echo(message, over: channel)
                                await channel.close()
                                return answer == message
                            }
                        }
                        for try await isRight in group { #expect(isRight) }
                    }
                    try await eventually(describing: "no channel") { await session.channelCount == 0 }
                }
            }
        }

        @Test func aSlowReaderGetsEveryByteAndHoldsUpNobody() async throws {
            let size = 100 << 20
            try await LoopbackServer.with(.pattern(count: size)) { source in
                try await LoopbackServer.with(.echo) { server in
                    try await withSession { session in
                        let slow = try await session.openDirectTCPIP(port: source.port)
                        let unread = try await session.openDirectTCPIP(port: source.port)
                        async let result = readPattern(slow, slowly: true)
                        let clock = ContinuousClock()
                        var latencies: [Duration] = []
                        for _ in 0..<100 {
                            let channel = try await session.openDirectTCPIP(port: server.port)
                            let began = clock.now
                            #expect(try await echo([1, 2, 3], over: channel) == [1, 2, 3])
                            latencies.append(began.duration(to: clock.now))
                            await channel.close()
                        }
                        #expect(latencies.sorted()[50] < .milliseconds(100))
                        #expect(try await result == (size, true))
                        // The other one, never read, lost nothing and was sent no more than its window.
                        await unread.close()
                    }
                }
            }
        }

        @Test func anUnreadChannelHoldsNoMoreThanItsWindow() async throws {
            let size = 4 << 20
            try await LoopbackServer.with(.pattern(count: size)) { source in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: source.port)
                    try await eventually(describing: "a full window") {
                        await session.unreadBytes(of: channel) == SSHSession.windowSize
                    }
                    #expect(try await session.exec("exit 0").status == 0)
                    #expect(await session.unreadBytes(of: channel) == SSHSession.windowSize)
                    #expect(try await readPattern(channel) == (size, true))
                }
            }
        }

        @Test func keysAreExchangedAnewInTheMidstOfEverything() async throws {
            let size = 20 << 20
            try await SSHServer.with(settings: ["RekeyLimit 1M"]) { server in
                try await LoopbackServer.with(.pattern(count: size)) { source in
                    try await LoopbackServer.with(.echo) { echoes in
                        try await withSession(to: server.endpoint) { session in
                            let channel = try await session.openDirectTCPIP(port: source.port)
                            async let result = readPattern(channel)
                            for _ in 0..<20 {
                                let other = try await session.openDirectTCPIP(port: echoes.port)
                                let message = [UInt8](repeating: 7, count: 300_000)
                                #expect(try await echo(message, over: other) == message)
                                await other.close()
                            }
                            #expect(try await result == (size, true))
                        }
                    }
                }
            }
        }

        @Test func cancellingAReaderEndsItAtOnceAndLosesNothing() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: server.port)
                    let reading = Task { try await channel.read() }
                    reading.cancel()
                    await #expect(throws: CancellationError.self) { try await reading.value }
                    #expect(try await echo([1, 2, 3], over: channel) == [1, 2, 3])
                }
            }
        }

        @Test func anAbandonedChannelIsClosedAndItsReaderTold() async throws {
            try await LoopbackServer.with(.silence) { server in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: server.port)
                    async let code = failure { try await channel.read() }
                    try await eventually(describing: "the connection") { await server.openConnections == 1 }
                    channel.abandon()
                    #expect(try await code == .channelClosed)
                    try await eventually(describing: "its end") { await session.channelCount == 0 }
                }
            }
        }

        @Test func aDroppedChannelIsClosed() async throws {
            try await LoopbackServer.with(.echo) { server in
                try await withSession { session in
                    _ = try await session.openDirectTCPIP(port: server.port)
                    try await eventually(describing: "no connection") { await session.channelCount == 0 }
                    try await eventually(describing: "its end") { await server.openConnections == 0 }
                }
            }
        }

        @Test func openingsWhoseCallersLeaveAreClosed() async throws {
            try await LoopbackServer.with(.silence) { server in
                try await withSession { session in
                    let openings = (0..<100).map { _ in
                        Task { try await session.openDirectTCPIP(port: server.port) }
                    }
                    for opening in openings { opening.cancel() }
                    for opening in openings { _ = await opening.result }
                    try await eventually(describing: "no channel") { await session.channelCount == 0 }
                    #expect(try await session.exec("exit 0").status == 0)
                }
            }
        }

        @Test func aWriterIsToldThatItsPeerHasHungUp() async throws {
            try await LoopbackServer.with(.pattern(count: 1)) { server in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: server.port)
                    let code = try await failure { try await channel.write([UInt8](repeating: 1, count: 20 << 20)) }
                    #expect(code == .channelClosed)
                    #expect(try await channel.read()?.count == 1)
                    #expect(try await channel.read() == nil)
                }
            }
        }
    }
}
