import Logging
import ServiceLifecycle

/// Bounds how long a graceful shutdown may take.
struct Drain: Sendable {
    let limit: Duration
    let logger: Logger

    /// Runs `body`, which is to heed graceful shutdown, and cancels it when that has gone on for ``limit``.
    func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body()
                return true
            }
            group.addTask {
                try await gracefulShutdown()
                try await Task.sleep(for: limit)
                return false
            }
            let isDone = try await group.next() ?? true
            group.cancelAll()
            if isDone { return }
            logger.warning("what is still under way is put back", metadata: ["limit": "\(limit)"])
            do {
                try await group.waitForAll()
            } catch is CancellationError {
                return
            }
        }
    }
}
