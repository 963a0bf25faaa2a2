/// A condition that did not come true in its time, and what was seen last.
package struct NeverHappened: Error, CustomStringConvertible {
    package let awaited: String
    package let limit: Duration
    package let lastSeen: String

    package init(awaited: String, limit: Duration, lastSeen: String) {
        self.awaited = awaited
        self.limit = limit
        self.lastSeen = lastSeen
    }

    package var description: String { "not within \(limit): \(awaited); last seen: \(lastSeen)" }
}

/// Polls `condition` until it is true. Throws ``NeverHappened`` naming `what` after `limit`.
package func eventually(
    within limit: Duration = .seconds(10), describing what: String, _ condition: () async throws -> Bool
) async throws {
    try await eventually(within: limit, describing: what, read: condition, until: { $0 })
}

/// Polls `read` until what it returns satisfies `condition`, and returns that. Throws ``NeverHappened`` naming `what`
/// and the last value read after `limit`. An error of `read` passes through.
@discardableResult
package func eventually<Value>(
    within limit: Duration = .seconds(10), describing what: String,
    read: () async throws -> Value, until condition: (Value) -> Bool
) async throws -> Value {
    let clock = ContinuousClock()
    let deadline = clock.now + limit
    while true {
        let value = try await read()
        if condition(value) { return value }
        guard clock.now < deadline else {
            throw NeverHappened(awaited: what, limit: limit, lastSeen: "\(value)")
        }
        try await Task.sleep(for: .milliseconds(10))  // the pause between two polls, never a wait for an effect
    }
}
