import EventLoop
package import Fleet
import SSH
import Synchronization

extension ExecutionService {
    /// Lends the files of a VM, waking it if it sleeps: of the environment named, else of the caller's own VM. It counts
    /// as used as long as `body` has them.
    ///
    /// Throws `environment_not_found`, what waking throws (`vm_start_timeout`, `vm_failed`, `vm_destroyed`),
    /// `vm_unreachable`, `host_key_mismatch`, and what `body` throws. A VM that turns out to be gone is looked for and woken
    /// once more as long as `body` was not called.
    package func withFiles<Result: Sendable>(
        of name: String?, caller: Caller, requestID: String,
        _ body: @escaping @Sendable (HomeFiles) async throws -> Result
    ) async throws -> Result {
        let found = try await existing(name, caller: caller, requestID: requestID)
        var environment = try await waker.wake(found, for: caller, requestID: requestID) { _, _ in }
        var failures = 0
        while true {
            let hasBegun = Atomic(false)
            do {
                return try await withFiles(of: environment) { files in
                    hasBegun.store(true, ordering: .relaxed)
                    return try await body(files)
                }
            } catch let error as VMUnreachable {
                failures += 1
                guard !hasBegun.load(ordering: .relaxed), failures < 3 else { throw error.serviceError(environment) }
                let found = try await waker.reconcile(environment, requestID: requestID, because: error)
                environment = try await waker.wake(found, for: caller, requestID: requestID) { _, _ in }
            }
        }
    }

    private func existing(_ name: String?, caller: Caller, requestID: String) async throws -> Environment {
        if let name {
            return try await fleet.environments.authorized(
                name, for: caller, to: "files", requestID: requestID, admitsAdmins: false)
        }
        guard let own = try await fleet.environments.userVM(of: caller.userID) else {
            throw ServiceError(
                .environmentNotFound, "You have no VM, and so no files.", hint: "Make one with 'martlet vm start'.")
        }
        return own
    }

    private func withFiles<Result: Sendable>(
        of environment: Environment, _ body: @escaping @Sendable (HomeFiles) async throws -> Result
    ) async throws -> Result {
        try await withSession(to: environment) { session in
            try await session.ssh.withSFTP { client in
                try await whileInUse(environment.id) { try await body(try await HomeFiles(client)) }
            }
        }
    }

    /// Notes the environment as used, again and again until `body` ends: what idle stop goes by.
    private func whileInUse<Result>(_ id: EnvironmentID, _ body: () async throws -> Result) async throws -> Result {
        let environments = fleet.environments
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    await environments.touchActivity(id)
                    try await Task.sleep(for: .seconds(10))
                }
            }
            defer { group.cancelAll() }
            return try await body()
        }
    }
}
