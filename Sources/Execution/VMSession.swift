import Fleet
import SSH

/// An SSH session to a VM, and what else is needed to speak with its runner.
struct VMSession: Sendable {
    let ssh: SSHSession
    let connection: EnvironmentConnection
}

extension EnvironmentConnection {
    /// Where its SSH server is; `user`: somebody else than its own.
    func endpoint(user: String? = nil) -> SSHEndpoint {
        SSHEndpoint(host: host, port: port, user: user ?? self.user, privateKey: privateKey, hostKey: hostKey)
    }
}

/// The VM could not be spoken with, and what it was wanted for has not begun: it may be tried again.
struct VMUnreachable: Error, CustomStringConvertible {
    let cause: any Error
    var description: String { String(describing: cause) }

    func serviceError(_ environment: Environment) -> ServiceError {
        ServiceError(
            .vmUnreachable, "VM '\(environment.slug)' runs but cannot be reached.",
            hint: "Stop and start it: 'martlet vm stop', 'martlet vm start'; 'martlet doctor' says more.",
            cause: cause)
    }
}

extension ServiceError {
    /// What an SSH error is to callers of that VM where it is one that trying again does not help; `nil`: the VM is not
    /// reached at present.
    init?(_ error: SSHError, of environment: Environment) {
        guard error.code == .hostKeyMismatch else { return nil }
        self.init(
            .hostKeyMismatch, "VM '\(environment.slug)' shows another host key than it was made with.",
            hint: "Something else answers at its address: ask an admin. Nothing was sent to it.", cause: error)
    }
}

extension ExecutionService {
    /// Lends the session to a VM that all of this gateway share (``SessionPool``).
    ///
    /// What SSH and the runner's protocol throw, in `body` too, becomes `host_key_mismatch` or ``VMUnreachable``; all else
    /// that `body` throws passes through.
    func withSession<Result>(
        to environment: Environment, _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        do {
            return try await sessions.withSession(
                to: environment, by: { try await self.connection(of: environment) }, body)
        } catch let error as SSHError {
            throw ServiceError(error, of: environment) ?? VMUnreachable(cause: error)
        } catch let error as RunnerProtocolError {
            throw VMUnreachable(cause: error)
        }
    }

    /// Throws ``VMUnreachable`` where no address is known.
    func connection(of environment: Environment) async throws -> EnvironmentConnection {
        guard let connection = try await fleet.environments.connection(of: environment.id) else {
            throw VMUnreachable(cause: RunnerProtocolError(description: "no address is known of it"))
        }
        return connection
    }
}
