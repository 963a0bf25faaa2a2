import EventLoop
import Glibc
import Logging

/// One session with a PostgreSQL server. Lent by ``PostgresPool``.
///
/// Every call into libpq happens on the loop's thread. The socket is watched for input from connect to close, so a
/// session that the server ends is found dead at once, also while idle. Operations run one at a time, in the order of
/// their calls; each is one *exchange*: its commands are queued in libpq and closed by a synchronisation point, then
/// one task writes, reads and collects until the answer to that point has come. A statement not yet prepared in this
/// session is prepared in the same exchange, so it costs no further round trip.
///
/// When the task is cancelled or the deadline passes in the middle of an exchange, the server is asked to cancel, and
/// the exchange goes on, no longer cancellable, until the answer to its synchronisation point: only then is the
/// session at a known place. If that takes more than ``drainLimit``, the connection is closed. `PQcancel` has returned
/// before the next operation starts, and PostgreSQL drops a cancellation that finds its session idle, so none can
/// hit a later statement.
package actor PostgresConnection {
    static let drainLimit = Duration.seconds(3)
    static let maximumQueue = 1_024

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    nonisolated let loop: EventLoop
    nonisolated let logger: Logger
    nonisolated let target: ConnectionTarget
    nonisolated let statementDeadline: Duration

    var handle = ConnectionHandle()
    /// A duplicate of the socket: libpq closes its own inside any call that finds the session over, and a descriptor
    /// must leave the loop before it is closed.
    var watched: Int32?
    var cancelToken: CancelToken?
    var statements = StatementCache(capacity: 256)
    var end: PostgresError?  // why the session is over

    var isOccupied = false
    var queue: [Waiter<Void>] = []  // operations behind the one under way

    var hasSerializationFailure = false  // since the last BEGIN

    var operation = 0  // the number of the one under way: interruptions of earlier ones come too late
    var interruption: Interruption?
    var readiness: CheckedContinuation<Void, Never>?

    var notifications: [PostgresNotification] = []
    var listener: Waiter<Void>?

    init(target: ConnectionTarget, statementDeadline: Duration, logger: Logger, loop: EventLoop = .next()) {
        self.target = target
        self.statementDeadline = statementDeadline
        self.logger = logger
        self.loop = loop
    }

    isolated deinit {
        unwatch()
    }

    // MARK: For whom it is lent to

    /// Runs one statement and returns its rows.
    package func query(_ sql: SQL, deadline: Duration? = nil) async throws -> [PostgresRow] {
        try await perform([sql], deadline: deadline).first?.rows ?? []
    }

    /// Runs one statement and returns how many rows it affected (returned, for a select).
    @discardableResult
    package func execute(_ sql: SQL, deadline: Duration? = nil) async throws -> Int {
        try await perform([sql], deadline: deadline).first?.affected ?? 0
    }

    /// Sends all statements at once and waits once. Outside a transaction they are one: all take effect or none. The
    /// error is that of the first that failed.
    package func pipeline(_ statements: [SQL], deadline: Duration? = nil) async throws -> [[PostgresRow]] {
        try await perform(statements, deadline: deadline).map(\.rows)
    }

    /// Runs a text of any number of statements, without binds. Outside a transaction they are one, unless the text
    /// itself begins and commits.
    package func script(_ text: String, deadline: Duration? = nil) async throws {
        try Self.validate(text, [])
        try await takeTurn(cancellable: true)
        defer { passTurn() }
        do {
            let exchange = try await run(deadline: deadline ?? statementDeadline, cancellable: true) {
                () throws(PostgresError) in
                try handle.script(text)
                return [.script]
            }
            try guarding { () throws(PostgresError) in try handle.resumePipeline() }
            _ = try exchange.get()
        } catch {
            if end == nil, !handle.isPipelined {
                try guarding { () throws(PostgresError) in try handle.resumePipeline() }
            }
            throw error
        }
    }

    /// The server's process of this session.
    package var backend: Int32 { handle.backend }

    // MARK: Life

    /// Connects. Takes as long as the server does: the caller sets the deadline.
    func connect() async throws {
        do {
            let options = try await target.resolved()
            handle = try .connecting(to: options, logger: logger)
            connecting: while true {
                switch try handle.advance() {
                case .ready: break connecting
                case .awaitReadable: _ = try await loop.readiness(of: handle.descriptor, for: .read)
                case .awaitWritable: _ = try await loop.readiness(of: handle.descriptor, for: .write)
                }
            }
            try watch()
        } catch {
            handle.close()
            guard let error = error as? PostgresError else { throw error }
            throw PostgresError(
                .connectFailed, "Not connected to PostgreSQL at \(target.description): \(error.message)",
                sqlState: error.sqlState, hint: error.hint)
        }
        cancelToken = handle.cancelToken()
    }

    private func watch() throws(PostgresError) {
        let descriptor = fcntl(handle.descriptor, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else {
            throw PostgresError(.connectFailed, "No descriptor left: \(String(cString: strerror(errno))).")
        }
        watched = descriptor
        loop.watch(descriptor, for: .read) { [weak self] _ in
            self?.assumeIsolated { $0.descriptorIsReady() }
        }
    }

    private func unwatch() {
        guard let descriptor = watched else { return }
        loop.unwatch(descriptor)
        Glibc.close(descriptor)
        watched = nil
    }

    func close() { finish(PostgresError(.closed, "The connection to PostgreSQL was closed.")) }

    func finish(_ reason: PostgresError) {
        guard end == nil else { return }
        end = reason
        unwatch()
        handle.close()
        resumeReadiness()
        listener?.resume(with: .failure(reason))
        listener = nil
    }

    /// Whether the session is alive as far as can be known without a round trip.
    func isAlive() -> Bool {
        for _ in 0..<2 { absorb() }  // once for the server's last words, once for the end of file behind them
        return end == nil
    }

    /// Whether the connection can be lent to the next: rolls back what was left open. Not cancellable.
    func isReusable() async -> Bool {
        guard end == nil, isOccupied || handle.transactionStatus != .idle else { return end == nil }
        do {
            // Behind whatever was left running, if anything was.
            _ = try await perform(["rollback"], deadline: .seconds(10), cancellable: false)
        } catch {
            close()
        }
        return end == nil && handle.transactionStatus == .idle
    }

    enum Single {
        case notSent  // the session was over before
        case done(Result<ResultTable, any Error>, isReusable: Bool)
    }

    /// What the pool does with a connection for one statement, in one visit to the loop.
    func single(_ sql: SQL, deadline: Duration?) async -> Single {
        guard isAlive() else { return .notSent }
        do {
            let table = try await perform([sql], deadline: deadline).first
            return .done(.success(table ?? .empty), isReusable: await isReusable())
        } catch {
            return .done(.failure(error), isReusable: await isReusable())
        }
    }
}
