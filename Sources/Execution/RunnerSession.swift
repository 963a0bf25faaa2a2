import Fleet
import Logging
import SSH

/// A session of its own to a running VM, for what is no execution: those share sessions (``SessionPool``).
enum RunnerSession {
    /// Lends it and closes it. Throws `vm_unreachable` where no address is known, and what SSH and `body` throw.
    static func with<Result>(
        _ environment: Environment, of fleet: Fleet, logger: Logger, _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        guard let connection = try await fleet.environments.connection(of: environment.id) else {
            throw ServiceError(
                .vmUnreachable, "No address is known of VM '\(environment.slug)'.", hint: "Stop and start it.")
        }
        let session = try await SSHSession.connect(to: connection.endpoint(), logger: logger)
        do {
            let result = try await body(VMSession(ssh: session, connection: connection))
            await session.close()
            return result
        } catch {
            await Task { await session.close() }.value  // although this task may be cancelled
            throw error
        }
    }
}
