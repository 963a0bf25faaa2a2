import Logging

extension PostgresPool {
    private static let silenceLimit = Duration.seconds(30)  // then a round trip tells whether the server still is there

    /// Listens on `channels` on a connection of its own until the task is cancelled or the pool closed. Notifications
    /// are handed to `body` one at a time, in order. `onConnect` is called once listening has begun, at first and after
    /// every reconnect: what was sent meanwhile is lost, so whoever caches drops its caches there. `onDisconnect` is
    /// called each time the connection is found lost or cannot be had, before it is tried again. A server that cannot
    /// be reached is tried again, after 50 ms at first and 5 s at last.
    package func listen(
        _ channels: [String], _ body: (PostgresNotification) async -> Void, onConnect: () async -> Void = {},
        onDisconnect: () async -> Void = {}
    ) async throws {
        var failures = 0
        while true {
            do {
                try await withDedicatedConnection { connection in
                    _ = try await connection.pipeline(channels.map { "listen \(SQL.identifier($0))" })
                    failures = 0
                    await onConnect()
                    while true {
                        let notifications = try await connection.nextNotifications(within: Self.silenceLimit)
                        if notifications.isEmpty { try await connection.execute("select 1", deadline: .seconds(10)) }
                        for notification in notifications { await body(notification) }
                    }
                }
            } catch {
                await onDisconnect()
                try Task.checkCancellation()
                if isClosed { throw Self.closedError }
                failures += 1
                logger.warning(
                    "PostgreSQL listener lost its connection",
                    metadata: ["reason": "\(error)", "failures": "\(failures)"])
            }
            let most = min(5_000, 50 << min(failures, 10))
            try await ContinuousClock().sleep(for: .milliseconds(Int.random(in: most / 2...most)))
        }
    }
}
