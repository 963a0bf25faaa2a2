import Glibc
import SSH
import TestSupport
import Testing

@testable import Execution
@testable import Fleet

extension Live {
    @Suite(LiveSSHD()) struct SessionPoolTests {
        @Test func aSessionThatDoesNotAnswerIsLentToNobodyElse() async throws {
            try await withRunningVM { _, environment in
                try await SSHServer.with { server in
                    let pool = SessionPool(capacity: 4, logger: quiet)
                    @Sendable func connection() -> EnvironmentConnection {
                        EnvironmentConnection(
                            host: server.endpoint.host, port: server.endpoint.port, user: server.endpoint.user,
                            privateKey: server.endpoint.privateKey, hostKey: server.endpoint.hostKey, runnerPort: 1,
                            runnerSecret: "")
                    }
                    @Sendable func session() async throws -> SSHSession {
                        try await pool.withSession(to: environment, by: { connection() }) { $0.ssh }
                    }
                    let first = try await session()
                    #expect(try await session() === first)
                    let silent = await server.connections
                    for process in silent { kill(process, SIGSTOP) }
                    try await pool.withSession(to: environment, by: { connection() }) { user in
                        let error = await #expect(throws: SSHError.self) {
                            try await pool.withSession(to: environment, by: { connection() }) { session in
                                _ = try await session.ssh.openDirectTCPIP(port: 1, timeout: .milliseconds(100))
                            }
                        }
                        #expect(error?.code == .timeout)
                        let second = try await session()
                        #expect(second !== first)
                        #expect(user.ssh.isAlive, "others may still use it")
                    }
                    #expect(!first.isAlive)
                    for process in silent { kill(process, SIGCONT) }
                    await pool.close()
                }
            }
        }
    }
}
