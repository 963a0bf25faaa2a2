import Execution
import Fleet

/// What the routes of SSH need of the rooms below.
struct SSHOperations: Sendable {
    var keys: @Sendable (Caller) async throws -> [SSHKey]
    var addKey:
        @Sendable (Caller, NewSSHKey, _ requestID: String, IdempotencyStore.Keeper<SSHKey>?) async throws -> SSHKey
    var removeKey: @Sendable (SSHKeyID, Caller, _ requestID: String) async throws -> Void
    var hosts: @Sendable (Caller) async throws -> [SSHHost]
    /// The environment of that name, or the caller's own; what can be refused at once is.
    var environment: @Sendable (Caller, _ name: String?, _ requestID: String) async throws -> Environment
    /// Wakes it and lends the place of its SSH server.
    var server:
        @Sendable (
            Environment, Caller, _ requestID: String,
            _ report: @escaping @Sendable (ExecutionEvent.Progress, String) async throws -> Void,
            _ body: @escaping @Sendable (SSHServerPlace) async throws -> Void
        ) async throws -> Void

    static let none = {
        let error = ServiceError(.serviceUnavailable, "There is no SSH here.", hint: "Ask another gateway.")
        return SSHOperations(
            keys: { _ in throw error }, addKey: { _, _, _, _ in throw error }, removeKey: { _, _, _ in throw error },
            hosts: { _ in throw error }, environment: { _, _, _ in throw error },
            server: { _, _, _, _, _ in throw error })
    }()

    static func live(_ execution: ExecutionService, _ fleet: Fleet) -> SSHOperations {
        SSHOperations(
            keys: { try await fleet.sshKeys.list(of: $0.userID) },
            addKey: { caller, new, requestID, keeper in
                let key = try await fleet.sshKeys.add(
                    new.key, name: new.name, for: caller.userID, by: AuditActor(caller), requestID: requestID,
                    keeper: keeper)
                await execution.installSSHKeys(of: caller.userID)
                return key
            },
            removeKey: { id, caller, requestID in
                try await fleet.sshKeys.remove(
                    id, of: caller.userID, by: AuditActor(caller), requestID: requestID)
                await execution.installSSHKeys(of: caller.userID)
            },
            hosts: { try await fleet.environments.sshHosts(of: $0.userID) },
            environment: { try await execution.sshEnvironment($1, caller: $0, requestID: $2) },
            server: { environment, caller, requestID, report, body in
                try await execution.withSSHServer(
                    of: environment, caller: caller, requestID: requestID, report: report, body)
            })
    }
}
