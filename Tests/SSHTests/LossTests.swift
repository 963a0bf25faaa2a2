import Foundation
import SSH
import TestSupport
import Testing

extension Live {
    @Suite struct LossTests {
        @Test func everybodyWhoWaitsLearnsThatTheServerWasKilled() async throws {
            try await SSHServer.with { server in
                try await LoopbackServer.with(.pattern(count: 1000)) { source in
                    try await LoopbackServer.with(.silence) { silent in
                        try await withSession(to: server.endpoint) { session in
                            let read = try await session.openDirectTCPIP(port: source.port)
                            let unread = try await session.openDirectTCPIP(port: silent.port)
                            async let first = failure { try await unread.read() }
                            async let second = failure {
                                try await unread.write([UInt8](repeating: 1, count: 50 << 20))
                            }
                            async let third = failure { try await session.exec("sleep 60") }
                            try await eventually(describing: "bytes") {
                                await session.unreadBytes(of: read) == 1000
                            }
                            try await eventually(describing: "all three wait") { await session.channelCount == 3 }
                            await server.killConnections()
                            #expect(try await first == .connectionLost)
                            #expect(try await second == .connectionLost)
                            #expect(try await third == .connectionLost)
                            #expect(session.isAlive == false)
                            // What had come is still there.
                            #expect(try await read.read()?.count == 1000)
                            #expect(try await failure { try await session.openDirectTCPIP(port: 1) } == .connectionLost)
                            await unread.close()
                        }
                    }
                }
            }
        }

        @Test func anIdleSessionLearnsThatTheServerWasKilled() async throws {
            try await SSHServer.with { server in
                try await withSession(to: server.endpoint) { session in
                    try await eventually(describing: "idle") { await session.channelCount == 0 }
                    await server.killConnections()
                    try await eventually(describing: "the loss") { session.isAlive == false }
                }
            }
        }

        @Test func aServerThatStoppedAnsweringIsLost() async throws {
            try await SSHServer.with { server in
                try await withSession(to: server.endpoint, keepalive: .milliseconds(200)) { session in
                    // It answers, so a silence of many intervals is none.
                    try await Task.sleep(for: .seconds(1))  // the silence itself
                    #expect(session.isAlive)
                    for process in await server.connections { kill(process, SIGSTOP) }
                    try await eventually(describing: "the loss") { session.isAlive == false }
                    for process in await server.connections { kill(process, SIGCONT) }
                }
            }
        }

        @Test func closingASessionTellsItsChannels() async throws {
            try await LoopbackServer.with(.sink) { server in
                try await withSession { session in
                    let channel = try await session.openDirectTCPIP(port: server.port)
                    async let code = failure { try await channel.read() }
                    try await eventually(describing: "the connection") { await server.openConnections == 1 }
                    await session.close()
                    #expect([.channelClosed, .connectionLost].contains(try await code))
                    #expect(session.isAlive == false)
                }
                try await eventually(describing: "its end") { await server.openConnections == 0 }
            }
        }

        @Test func fiftyConnectionsLeaveNoDescriptorAndNoProcess() async throws {
            try await SSHServer.with { server in
                try await LoopbackServer.with(.echo) { echoes in
                    for _ in 0..<50 {
                        try await withSession(to: server.endpoint) { session in
                            let channel = try await session.openDirectTCPIP(port: echoes.port)
                            #expect(try await echo([1], over: channel) == [1])
                        }
                    }
                    #expect(try descriptors(connectedTo: server.endpoint.port) == 0)
                    try await eventually(describing: "no process") { await server.connections.isEmpty }
                }
            }
        }

        /// How many of this process's descriptors are sockets connected to the port: other tests run meanwhile.
        private func descriptors(connectedTo port: Int) throws -> Int {
            let port = String(format: "%04X", port)
            let inodes = try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8).split(separator: "\n")
                .map { $0.split(separator: " ") }
                .filter { $0.count > 9 && $0[2].hasSuffix(":\(port)") }.map { "socket:[\($0[9])]" }
            let manager = FileManager.default
            return try manager.contentsOfDirectory(atPath: "/proc/self/fd").filter { name in
                guard let target = try? manager.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)") else {
                    return false
                }
                return inodes.contains(target)
            }.count
        }
    }
}
