import EventLoop

extension PostgresConnection {
    /// Notifications kept for a listener that is busy; at that many, reading stops until it takes them.
    private static let maximumNotifications = 1_024

    /// The notifications that have come, at least one; none if none comes within `limit`. For one caller at a time.
    func nextNotifications(within limit: Duration) async throws -> [PostgresNotification] {
        if let end { throw end }
        if notifications.isEmpty {
            let waiter = Waiter<Void>()
            listener = waiter
            defer { listener = nil }
            let timer = loop.schedule(after: limit) { waiter.resume(with: .success(())) }
            defer { loop.cancel(timer) }
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { waiter.hold($0) }
            } onCancel: {
                waiter.resume(with: .failure(CancellationError()))
            }
        }
        if let watched { loop.setInterest(of: watched, to: .read) }
        defer { notifications = [] }
        return notifications
    }

    func takeNotifications() {
        while let notification = handle.notification() { notifications.append(notification) }
        guard !notifications.isEmpty else { return }
        listener?.resume(with: .success(()))
        if notifications.count >= Self.maximumNotifications, !isOccupied, let watched {
            loop.setInterest(of: watched, to: [])
        }
    }
}
