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
        do {
            return try await RunnerSession.with(environment, of: fleet, logger: logger) { session in
                try await RunnerConnection.ask("ping", of: session)
            }
        } catch let fault as RunnerProtocolError {
            throw ServiceError(
                .vmUnreachable, "The runner in VM '\(environment.slug)' does not answer as it should: \(fault).",
                hint: "Stop and start the VM.", cause: fault)
        }
    }
}
