import PostgreSQL
import Synchronization

/// Where calls of a user go: the running environments they lately went to, so that a warm call needs no look into the
/// database. Only running ones are kept: of any other the row has to be read anyway, to wake it.
///
/// As with tokens (``Authenticator``) answers are kept only while changes are heard of: a trigger tells of every move,
/// address and setup that changed, moves and changes made by this process are told before they are answered, and what
/// was being read while a change was told is not kept. A row that has changed all the same, a moment ago and elsewhere,
/// costs a call that finds its VM gone, which then reads it: a route is never a permission, it is kept by its owner.
package final class RouteCache: Sendable {
    /// What was kept when a read began.
    package struct Epoch: Sendable { fileprivate let number: Int }

    private struct State {
        var isListening = false
        var epoch = 0
        var routes: [UserID: [String?: Environment]] = [:]  // by name; nil: the user's own VM
        var count = 0
    }

    /// At most so many, of some 2 KiB; beyond, all are read again.
    static let capacity = 10_000

    private let database: PostgresPool
    private let state = Mutex(State())

    init(database: PostgresPool) { self.database = database }

    /// Listens for changes until cancelled. Without it nothing is kept.
    package func run() async throws {
        defer { clear(isListening: false) }
        try await database.listen(
            ["environments"],
            { notification in
                guard let user = UserID(notification.payload) else { return self.clear(isListening: true) }
                self.forget(user)
            },
            onConnect: { self.clear(isListening: true) },
            onDisconnect: { self.clear(isListening: false) })
    }

    package var epoch: Epoch { state.withLock { Epoch(number: $0.epoch) } }

    /// The running environment that is kept for the user under that name; `nil`: look.
    package func environment(_ name: String?, of user: UserID) -> Environment? {
        state.withLock { $0.routes[user]?[name] }
    }

    /// Keeps what was read since `epoch`, if it runs, is the user's, and nothing was heard since.
    package func keep(_ environment: Environment, _ name: String?, of user: UserID, since epoch: Epoch) {
        guard environment.state == .running, environment.userID == user else { return }
        state.withLock { state in
            guard state.isListening, state.epoch == epoch.number else { return }
            if state.count >= Self.capacity {
                state.routes = [:]
                state.count = 0
            }
            if state.routes[user, default: [:]].updateValue(environment, forKey: name) == nil {
                state.count += 1
            }
        }
    }

    /// Drops what is kept of a user.
    package func forget(_ user: UserID) {
        state.withLock { state in
            state.epoch += 1
            state.count -= state.routes.removeValue(forKey: user)?.count ?? 0
        }
    }

    private func clear(isListening: Bool) {
        state.withLock { state in
            state = State(isListening: isListening, epoch: state.epoch + 1)
        }
    }
}
