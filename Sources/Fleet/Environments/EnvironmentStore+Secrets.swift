package import Cryptography
import Foundation
import PostgreSQL

/// What an environment's owner and its machine know each other by. Made once, kept sealed.
package struct EnvironmentSecrets: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The owner's way in: its public half goes into `authorized_keys`.
    package let clientKey: SSHKeyPair
    /// What the machine's SSH server shows.
    package let hostKey: SSHKeyPair
    /// What the runner asks for; 64 hexadecimal digits.
    package let runnerSecret: String

    package var description: String { "secrets of \(clientKey.publicKey)" }
}

extension EnvironmentStore {
    /// The environment's keys and its runner's secret, made at the first call and the same ever after, whichever
    /// worker asks. Throws `environment_not_found` for one that is destroyed or never was.
    package func secrets(for id: EnvironmentID) async throws -> EnvironmentSecrets {
        try await ServiceError.translating("Secrets of environment \(id) not made") {
            if let secrets = try await storedSecrets(of: id) { return secrets }
            let fresh = EnvironmentSecrets(
                clientKey: try SSHKeyPair.generate(comment: "martlet-\(id)"),
                hostKey: try SSHKeyPair.generate(comment: "martlet-host-\(id)"), runnerSecret: try Random.hex(32))
            let sealed = try secretBox.seal(Array(try JSONEncoder().encode(fresh)), context: Self.context(id))
            try await database.execute(
                """
                UPDATE dev_environments
                SET secrets = \(sealed), client_public_key = \(fresh.clientKey.publicKey), updated_at = now()
                WHERE id = \(id) AND secrets IS NULL AND state <> 'destroyed'
                """)
            // Read back: of two who made them at the same time, one was first.
            guard let secrets = try await storedSecrets(of: id) else { throw ServiceError.environmentNotFound("\(id)") }
            return secrets
        }
    }

    /// How to reach the environment and run code in it; `nil` while it has never run, and once it is destroyed. It
    /// holds while the environment is `running` at this generation.
    package func connection(of id: EnvironmentID) async throws -> EnvironmentConnection? {
        try await ServiceError.translating("Connection of environment \(id) not read") {
            let rows = try await database.query(
                """
                SELECT secrets, host, ssh_port, ssh_user, runner_port FROM dev_environments
                WHERE id = \(id) AND host IS NOT NULL AND secrets IS NOT NULL
                """)
            guard let row = rows.first, let endpoint = try EnvironmentEndpoint(row: row) else { return nil }
            let secrets = try open(try row.decode("secrets"), of: id)
            return EnvironmentConnection(
                host: endpoint.host, port: endpoint.port, user: endpoint.user,
                privateKey: secrets.clientKey.privateKey, hostKey: secrets.hostKey.publicKey,
                runnerPort: endpoint.runnerPort, runnerSecret: secrets.runnerSecret)
        }
    }

    private func storedSecrets(of id: EnvironmentID) async throws -> EnvironmentSecrets? {
        let rows = try await database.query("SELECT secrets FROM dev_environments WHERE id = \(id)")
        guard let row = rows.first else { throw ServiceError.environmentNotFound("\(id)") }
        let sealed: [UInt8]? = try row.decode("secrets")
        return try sealed.map { try open($0, of: id) }
    }

    private func open(_ sealed: [UInt8], of id: EnvironmentID) throws -> EnvironmentSecrets {
        let plain = try secretBox.open(sealed, context: Self.context(id))
        return try JSONDecoder().decode(EnvironmentSecrets.self, from: Data(plain))
    }

    /// What was sealed for one environment does not open for another.
    private static func context(_ id: EnvironmentID) -> String { "environment:\(id)" }
}
