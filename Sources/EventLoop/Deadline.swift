/// A wait that took longer than it was allowed to, and what it waited for.
package struct DeadlineExceeded: Error, CustomStringConvertible {
    package let awaited: String
    package let limit: Duration

    package var description: String { "no \(awaited) within \(limit)" }
}

/// Runs `operation`, cancelling it after `limit`. Throws ``DeadlineExceeded`` naming `awaited`, but only once the
/// operation has ended: nothing of it runs on afterwards.
package func withDeadline<Value: Sendable>(
    _ limit: Duration, _ awaited: String, clock: (any Clock<Duration>)? = nil,
    _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value?.self) { group in
        group.addTask { try await operation() }
        group.addTask {
            if let clock { try await clock.sleep(for: limit) } else { try await EventLoop.pause(for: limit) }
            return nil
        }
        defer { group.cancelAll() }
        guard let first = try await group.next(), let value = first else {
            throw DeadlineExceeded(awaited: awaited, limit: limit)
        }
        return value
    }
}
