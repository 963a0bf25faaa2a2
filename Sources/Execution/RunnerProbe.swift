package import Fleet
import Foundation
package import Logging
import SSH

/// Asks the runner of a running VM whether it is well, over an SSH connection of its own: for those who look into what
/// is wrong, not for runs.
package struct RunnerProbe: Sendable {
    package struct Answer: Sendable, Decodable {
        package let version: String
        package let uptimeMs: Double
    }

    private let fleet: Fleet
    private let logger: Logger

    package init(fleet: Fleet, logger: Logger) {
        self.fleet = fleet
        self.logger = logger
    }

    /// Throws `vm_unreachable` where no address is known or the runner answers wrong, `SSHError` naming what else failed.
    package func ping(_ environment: Fleet::Environment) async throws -> Answer {
        guard let connection = try await fleet.environments.connection(of: environment.id) else {
            throw ServiceError(
                .vmUnreachable, "No address is known of VM '\(environment.slug)'.", hint: "Stop and start it.")
        }
        let session = try await SSHSession.connect(
            to: SSHEndpoint(
                host: connection.host, port: connection.port, user: connection.user,
                privateKey: connection.privateKey, hostKey: connection.hostKey), logger: logger)
        do {
            let answer: Answer = try await RunnerConnection.ask(
                "ping", of: VMSession(ssh: session, connection: connection))
            await session.close()
            return answer
        } catch {
            await Task { await session.close() }.value  // although this task may be cancelled
            guard let fault = error as? RunnerProtocolError else { throw error }
            throw ServiceError(
                .vmUnreachable, "The runner in VM '\(environment.slug)' does not answer as it should: \(fault).",
                hint: "Stop and start the VM.", cause: fault)
        }
    }
}
