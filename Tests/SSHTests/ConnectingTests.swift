import Cryptography
import EventLoop
import Foundation
import Logging
import SSH
import TestSupport
import Testing

let logger = Logger(label: "martlet.ssh.test") { _ in SwiftLogNoOpLogHandler() }

/// Lends a session to a server, and closes it.
func withSession<R: Sendable>(
    to endpoint: SSHEndpoint = LiveSSHD.server.endpoint, keepalive: Duration = .seconds(15),
    _ body: (SSHSession) async throws -> R
) async throws -> R {
    let session = try await SSHSession.connect(
        to: endpoint, timeout: .seconds(30), keepalive: keepalive, logger: logger)
    do {
        let result = try await body(session)
        await session.close()
        return result
    } catch {
        await session.close()
        throw error
    }
}

/// The code of the error that `body` throws.
func failure(_ body: () async throws -> some Any) async throws -> SSHError.Code? {
    do {
        _ = try await body()
        return nil
    } catch let error as SSHError {
        return error.code
    }
}

@Suite(LiveSSHD()) enum Live {}

extension Live {
    @Suite struct ConnectingTests {
        @Test func anotherHostKeyIsRefusedAndBothAreShown() async throws {
            var endpoint = LiveSSHD.server.endpoint
            let real = endpoint.hostKey
            endpoint.hostKey = try SSHKeyPair.generate(comment: "somebody else").publicKey
            let error = await #expect(throws: SSHError.self) { try await withSession(to: endpoint) { _ in } }
            #expect(error?.code == .hostKeyMismatch)
            for key in [real, endpoint.hostKey] {
                let fingerprint = try await fingerprintByOpenSSH(key)
                #expect(error?.message.contains(fingerprint) == true)
            }
        }

        @Test func aKeyTheServerDoesNotKnowIsRefused() async throws {
            var endpoint = LiveSSHD.server.endpoint
            endpoint.privateKey = try SSHKeyPair.generate(comment: "stranger").privateKey
            #expect(try await failure { try await withSession(to: endpoint) { _ in } } == .authenticationFailed)
        }

        @Test func aKeyThatIsNoneIsRefusedAndNotShown() async throws {
            var endpoint = LiveSSHD.server.endpoint
            endpoint.privateKey = "-----BEGIN SECRET-----"
            let error = await #expect(throws: SSHError.self) { try await withSession(to: endpoint) { _ in } }
            #expect(error?.code == .authenticationFailed)
            #expect("\(error as Any) \(endpoint)".contains("SECRET") == false)
        }

        @Test func aPortNobodyListensOnIsConnectFailed() async throws {
            var endpoint = LiveSSHD.server.endpoint
            endpoint.port = 1
            #expect(try await failure { try await withSession(to: endpoint) { _ in } } == .connectFailed)
        }

        @Test func aServerThatSaysNothingIsATimeout() async throws {
            try await LoopbackServer.with(.sink) { silent in
                var endpoint = LiveSSHD.server.endpoint
                endpoint.port = silent.port
                let error = await #expect(throws: SSHError.self) {
                    try await SSHSession.connect(to: endpoint, timeout: .milliseconds(100), logger: logger)
                }
                #expect(error?.code == .timeout)
                #expect(error?.message.contains("SSH handshake") == true)
                try await eventually(describing: "the connection is closed") { await silent.openConnections == 0 }
            }
        }

        @Test func aServerOfAnotherKindIsConnectFailed() async throws {
            try await LoopbackServer.with(.pattern(count: 100_000)) { other in
                var endpoint = LiveSSHD.server.endpoint
                endpoint.port = other.port
                let code = try await failure { try await withSession(to: endpoint) { _ in } }
                #expect(code == .connectFailed)
            }
        }

        @Test func connectingCanBeCancelled() async throws {
            try await LoopbackServer.with(.sink) { silent in
                var endpoint = LiveSSHD.server.endpoint
                endpoint.port = silent.port
                let connecting = Task { [endpoint] in try await withSession(to: endpoint) { _ in } }
                try await eventually(describing: "the connection") { await silent.openConnections == 1 }
                connecting.cancel()
                await #expect(throws: CancellationError.self) { try await connecting.value }
                try await eventually(describing: "its end") { await silent.openConnections == 0 }
            }
        }

        /// A command at the beginning has the server answer at once; where it does so anyway, and says it, none is run.
        @Test(arguments: [false, true])
        func aCommandIsRunOnlyWhereItIsNeeded(isPrompt: Bool) async throws {
            try await withTemporaryDirectory { directory in
                let file = "\(directory)/commands"
                var settings = ["ForceCommand echo \"$SSH_ORIGINAL_COMMAND\" >>\(file)"]
                if isPrompt { settings.append("VersionAddendum tcp-nodelay") }
                let expected = isPrompt ? ["asked"] : ["asked", "true"]
                try await SSHServer.with(settings: settings) { server in
                    try await withSession(to: server.endpoint) { session in
                        _ = try await session.exec("asked")
                        try await eventually(describing: "the commands") { lines(of: file) == expected }
                    }
                    try await eventually(describing: "the connection's end") { await server.connections.isEmpty }
                    #expect(lines(of: file) == expected)
                }
            }
        }

        private func lines(of file: String) -> [String] {
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return text.split(separator: "\n").map(String.init).sorted()
        }

        private func fingerprintByOpenSSH(_ key: String) async throws -> String {
            try await withTemporaryDirectory { directory in
                try Data(key.utf8).write(to: URL(fileURLWithPath: "\(directory)/key.pub"))
                let command = ChildProcess.Command("ssh-keygen", ["-l", "-f", "\(directory)/key.pub"])
                let line = try await ChildProcess.run(command, deadline: .seconds(30)).text
                return String(line.split(separator: " ")[1])
            }
        }
    }
}
