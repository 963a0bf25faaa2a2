import Cryptography
import PostgreSQL

/// A VM as an SSH client knows it.
package struct SSHHost: Sendable, Hashable {
    package let environment: Environment
    package let user: String
    /// `ssh-ed25519 AAAA…`, without a comment: what its server proves to own.
    package let hostKey: String
    package let fingerprint: String
}

extension EnvironmentStore {
    /// What every provider calls the user that programs are.
    private static let programsUser = "martlet"

    /// The user's VMs that are not destroyed, oldest first, at most 500. A VM that has no keys yet is given them.
    package func sshHosts(of user: UserID) async throws -> [SSHHost] {
        var hosts: [SSHHost] = []
        for environment in try await list(owner: user, limit: 500) {
            do {
                hosts.append(try await sshHost(environment))
            } catch let error as ServiceError where error.code == .environmentNotFound {
                continue  // destroyed meanwhile
            }
        }
        return hosts
    }

    /// Throws `environment_not_found` for one that is destroyed.
    package func sshHost(_ environment: Environment) async throws -> SSHHost {
        let key = try await secrets(for: environment.id).hostKey
        return SSHHost(
            environment: environment, user: environment.endpoint?.user ?? Self.programsUser,
            hostKey: key.publicKey.split(separator: " ").prefix(2).joined(separator: " "),
            fingerprint: key.fingerprint ?? "")
    }
}
