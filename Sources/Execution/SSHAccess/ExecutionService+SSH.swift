import EventLoop
package import Fleet
import Logging
import SSH

/// Where the SSH server of a VM that runs listens, for bytes to be carried there.
package struct SSHServerPlace: Sendable, Hashable {
    package let host: String  // an address
    package let port: Int
    /// As its owner's client has to know it.
    package let server: SSHHost
    /// How many keys let its owner in.
    package let keys: Int
}

/// Users' own SSH clients.
///
/// Nothing of what such a client says is understood here: its bytes go to the VM's sshd, and that lets in whom the keys let
/// in that are written into the VM (``AuthorizedKeys``) before the first byte goes there. So a key that was removed opens
/// nothing, whatever became of the writing at its removal.
extension ExecutionService {
    /// Writing a user's keys into one VM takes no longer.
    private static let keyLimit = Duration.seconds(10)
    /// Into how many VMs at once.
    private static let keyWriters = 8

    /// The environment named, else the caller's own VM, which is made if there is none. Throws what can be said before
    /// anything is done: `environment_not_found`, `vm_failed`, `vm_destroyed`, and what making one throws.
    package func sshEnvironment(_ name: String?, caller: Caller, requestID: String) async throws -> Environment {
        let environment: Environment =
            if let name {
                try await fleet.environments.authorized(
                    name, for: caller, to: "ssh", requestID: requestID, admitsAdmins: false)
            } else if let own = try await fleet.environments.userVM(of: caller.userID) {
                own
            } else {
                try await fleet.environments.createUserVM(
                    for: caller, requestID: requestID, provider: configuration.provider)
            }
        switch environment.state {
        case .error: throw Waker.failed(environment)
        case .destroying, .destroyed: throw Waker.destroyed(environment)
        case .requested, .provisioning, .starting, .running, .stopping, .stopped: return environment
        }
    }

    /// Wakes the environment, writes its owner's keys into it and lends the place of its SSH server; as long as `body` has
    /// it, idle stop is held off.
    ///
    /// Throws what waking throws (`vm_start_timeout`, `vm_failed`, `vm_destroyed`), `vm_unreachable`, `host_key_mismatch`,
    /// `disk_full` or `file_refused` where the keys cannot be written, and what `body` throws. A VM that turns out to be gone
    /// is looked for and woken once more.
    package func withSSHServer<Result: Sendable>(
        of environment: Environment, caller: Caller, requestID: String,
        report: @escaping @Sendable (ExecutionEvent.Progress, String) async throws -> Void,
        _ body: (SSHServerPlace) async throws -> Result
    ) async throws -> Result {
        var environment = try await waker.wake(environment, for: caller, requestID: requestID, report: report)
        var failures = 0
        while true {
            do {
                let place = try await preparedPlace(of: environment)
                return try await fleet.sessions.withHold(on: environment.id, kind: "ssh") { try await body(place) }
            } catch let error as VMUnreachable {
                failures += 1
                guard failures < 3 else { throw error.serviceError(environment) }
                try await report(.connecting, "The VM does not answer; looking what became of it.")
                let found = try await waker.reconcile(environment, requestID: requestID, because: error)
                environment = try await waker.wake(found, for: caller, requestID: requestID, report: report)
            }
        }
    }

    private func preparedPlace(of environment: Environment) async throws -> SSHServerPlace {
        let keys = try await installKeys(in: environment)
        let connection = try await connection(of: environment)
        return SSHServerPlace(
            host: connection.host, port: connection.port, server: try await fleet.environments.sshHost(environment),
            keys: keys)
    }

    // MARK: Keys

    /// Writes a user's keys into those of their VMs that run. A VM it fails for is logged: its keys are written before the
    /// next connection anyway.
    package func installSSHKeys(of user: UserID) async {
        // Not a child: a caller who has left has changed the keys all the same.
        await Task { await self.installKeys(of: user) }.value
    }

    private func installKeys(of user: UserID) async {
        do {
            let running = try await fleet.environments.list(owner: user, limit: 500).filter { $0.state == .running }
            await withTaskGroup(of: Void.self) { group in
                for (index, environment) in running.enumerated() {
                    if index >= Self.keyWriters { await group.next() }
                    group.addTask { await self.installKeysLogging(environment) }
                }
            }
        } catch {
            logger.warning("SSH keys not written into VMs", metadata: ["user": "\(user)", "error": "\(error)"])
        }
    }

    private func installKeysLogging(_ environment: Environment) async {
        do {
            _ = try await withDeadline(Self.keyLimit, "SSH keys in the VM") {
                try await self.installKeys(in: environment)
            }
        } catch {
            logger.warning(
                "SSH keys not written into a VM",
                metadata: ["environment": "\(environment.id)", "error": "\(error)"])
        }
    }

    /// Returns how many there are. What is read after the writing is what was written: of two who write at once, with a
    /// change between, the later has the last word.
    private func installKeys(in environment: Environment) async throws -> Int {
        try await withSFTP(of: environment) { client in
            var keys = try await self.fleet.sshKeys.list(of: environment.userID)
            while true {
                try await AuthorizedKeys.install(keys, by: client)
                let now = try await self.fleet.sshKeys.list(of: environment.userID)
                if now == keys { return keys.count }
                keys = now
            }
        }
    }

    private func withSFTP<Result: Sendable>(
        of environment: Environment, _ body: @escaping @Sendable (SFTPClient) async throws -> Result
    ) async throws -> Result {
        do {
            return try await withSession(to: environment) { session in
                try await session.ssh.withSFTP { client in try await body(client) }
            }
        } catch let error as SFTPError {
            throw ServiceError(
                .fileRefused, "Your SSH keys cannot be written into VM '\(environment.slug)': \(error.message).",
                hint: "Look at ~/.ssh there ('martlet run'), and whether the disk is full.", cause: error)
        }
    }
}
