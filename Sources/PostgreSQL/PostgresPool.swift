import EventLoop
package import Logging
import Synchronization

/// At most `size` connections to one database, opened when needed and lent one caller at a time.
///
/// A caller gets an idle connection, or opens one, or waits in line for one given back, at most `acquireLimit`; what
/// is given back goes straight to the first in line. Who is in line is decided under one lock: a grant either reaches
/// its waiter or finds it gone, so neither a connection nor the right to open one can be lost to a cancellation. A
/// connection is given back outside any transaction and with no statement running, or it is closed. Settings made
/// with `set` would stay with it: use `set local`.
package final class PostgresPool: Sendable {
    private enum Grant {
        case connection(PostgresConnection)
        case slot  // the right to open one
    }

    private struct InLine {
        let number: UInt64
        let until: ContinuousClock.Instant
        let continuation: CheckedContinuation<Grant, any Error>
    }

    private struct State {
        var idle: [PostgresConnection] = []  // the most recently used last, and used first
        var open = 0  // idle, lent or being opened
        var line: [InLine] = []
        var lastNumber: UInt64 = 0
        var isSweeping = false  // a timer is set for the first in line
        var dedicated: [ObjectIdentifier: PostgresConnection] = [:]
        var isClosed = false
        var closing: [Waiter<Void>] = []  // wait for the last lent connection
    }

    package static let connectLimit = Duration.seconds(10)
    package static let statementLimit = Duration.seconds(30)  // the session's statement_timeout
    static let maximumLine = 4_096

    let logger: Logger
    private let size: Int
    private let acquireLimit: Duration  // the wait for a connection to come free
    private let target: Result<ConnectionTarget, PostgresError>
    private let loop = EventLoop.next()
    private let state = Mutex(State())

    /// `url` is a libpq URI or conninfo string; a unix socket is `postgresql:///database?host=/directory&user=name`.
    /// Connects to nothing yet: what is wrong with the URL is thrown by the first use.
    package init(url: String, size: Int = 8, acquireLimit: Duration = .seconds(10), logger: Logger) {
        precondition(size > 0, "a pool of no connections lends none")
        self.size = size
        self.acquireLimit = acquireLimit
        self.logger = logger
        target = Result { () throws(PostgresError) in
            try ConnectionTarget(url: url, statementTimeout: Self.statementLimit)
        }
    }

    /// For metrics: connections open and idle, and callers waiting for one.
    package var statistics: (open: Int, idle: Int, waiting: Int) {
        state.withLock { ($0.open, $0.idle.count, $0.line.count) }
    }

    // MARK: Use

    /// Runs one statement on a connection of the pool and returns its rows. An idle connection that is found dead
    /// before anything was sent on it is replaced; a statement that may have been executed is never sent again.
    package func query(_ sql: SQL, deadline: Duration? = nil) async throws -> [PostgresRow] {
        try await single(sql, deadline: deadline).rows
    }

    /// As ``query(_:deadline:)``, for how many rows were affected.
    @discardableResult
    package func execute(_ sql: SQL, deadline: Duration? = nil) async throws -> Int {
        try await single(sql, deadline: deadline).affected
    }

    private func single(_ sql: SQL, deadline: Duration?) async throws -> ResultTable {
        var grant = try await grant()
        while true {
            let connection: PostgresConnection
            switch grant {
            case .connection(let idle): connection = idle
            case .slot: connection = try await openInSlot()
            }
            switch await connection.single(sql, deadline: deadline) {
            case .notSent: grant = .slot
            case .done(let result, let isReusable):
                if isReusable { await giveBack(.connection(connection)) } else { await giveBack(.slot) }
                return try result.get()
            }
        }
    }

    /// Lends a connection for the time of `body`. It must not be used after.
    package func withConnection<Value>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await acquire()
        do {
            let value = try await body(connection)
            await release(connection)
            return value
        } catch {
            await release(connection)
            throw error
        }
    }

    /// Lends a connection of its own, outside the pool's number, closed afterwards: for what belongs to a session, as
    /// LISTEN and session locks do.
    func withDedicatedConnection<Value>(
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await connect()
        let isClosed = state.withLock { state in
            if !state.isClosed { state.dedicated[ObjectIdentifier(connection)] = connection }
            return state.isClosed
        }
        do {
            if isClosed { throw Self.closedError }
            let value = try await body(connection)
            await end(dedicated: connection)
            return value
        } catch {
            await end(dedicated: connection)
            throw error
        }
    }

    private func end(dedicated connection: PostgresConnection) async {
        _ = state.withLock { $0.dedicated.removeValue(forKey: ObjectIdentifier(connection)) }
        await connection.close()
    }

    // MARK: Closing

    static let closedError = PostgresError(.closed, "The PostgreSQL pool is closed.")

    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Refuses new callers and those in line, ends what listens, lets lent connections come back for ten seconds, and
    /// closes all. Those lent longer are closed when they come back.
    package func close() async {
        let (line, connections) = state.withLock { state in
            state.isClosed = true
            state.open -= state.idle.count
            defer {
                state.line = []
                state.idle = []
                state.dedicated = [:]
            }
            return (state.line, state.idle + Array(state.dedicated.values))
        }
        for waiting in line { waiting.continuation.resume(throwing: Self.closedError) }
        for connection in connections { await connection.close() }
        let last = Waiter<Void>()
        let isLast = state.withLock { state in
            if state.open > 0 { state.closing.append(last) }
            return state.open == 0
        }
        if isLast { return }
        do {
            try await withDeadline(.seconds(10), "return of the connections lent") {
                try await withTaskCancellationHandler {
                    try await withCheckedThrowingContinuation { last.hold($0) }
                } onCancel: {
                    last.resume(with: .failure(CancellationError()))
                }
            }
        } catch {
            logger.warning("PostgreSQL connections still lent when the pool closed", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: Lending

    private func acquire() async throws -> PostgresConnection {
        switch try await grant() {
        case .slot: return try await openInSlot()
        case .connection(let connection):
            if await connection.isAlive() { return connection }
            return try await openInSlot()  // in the place of the dead one
        }
    }

    private func release(_ connection: PostgresConnection) async {
        if await connection.isReusable() {
            await giveBack(.connection(connection))
        } else {
            await giveBack(.slot)
        }
    }

    private func openInSlot() async throws -> PostgresConnection {
        do {
            return try await connect()
        } catch {
            await giveBack(.slot)
            throw error
        }
    }

    /// Opens a connection. A server that says it is starting or stopping is asked again until the limit.
    private func connect() async throws -> PostgresConnection {
        let target = try target.get()
        let clock = ContinuousClock()
        let limit = clock.now + Self.connectLimit
        while true {
            do {
                return try await withDeadline(
                    limit - clock.now, "connection to PostgreSQL at \(target.description)"
                ) { [logger] in
                    let connection = PostgresConnection(
                        target: target, statementDeadline: Self.statementLimit + .seconds(5), logger: logger)
                    try await connection.connect()
                    return connection
                }
            } catch let error as DeadlineExceeded {
                throw PostgresError(.connectFailed, "\(error).")
            } catch let error as PostgresError where error.sqlState == "57P03" && clock.now < limit {
                try await clock.sleep(for: .milliseconds(100))  // between two attempts; nothing tells when it is ready
            }
        }
    }

    private func grant() async throws -> Grant {
        try Task.checkCancellation()
        let number = state.withLock { state in
            state.lastNumber += 1
            return state.lastNumber
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                settle(number, continuation)
            }
        } onCancel: {
            let waiting = state.withLock { state in
                state.line.firstIndex { $0.number == number }.map { state.line.remove(at: $0) }
            }
            waiting?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Grants at once, refuses at once, or puts into line.
    private func settle(_ number: UInt64, _ continuation: CheckedContinuation<Grant, any Error>) {
        let decision: Result<Grant, any Error>? = state.withLock { state in
            if state.isClosed { return .failure(Self.closedError) }
            if let connection = state.idle.popLast() { return .success(.connection(connection)) }
            if state.open < size {
                state.open += 1
                return .success(.slot)
            }
            // Under the lock: a cancellation before this is seen here, a later one finds the entry.
            if Task.isCancelled { return .failure(CancellationError()) }
            guard state.line.count < Self.maximumLine else {
                return .failure(
                    PostgresError(.exhausted, "\(state.line.count) callers wait for one of \(size) connections."))
            }
            state.line.append(
                InLine(number: number, until: .now + acquireLimit, continuation: continuation))
            startSweeping(&state, after: acquireLimit)
            return nil
        }
        if let decision { continuation.resume(with: decision) }
    }

    private func giveBack(_ grant: Grant) async {
        enum Outcome {
            case handedOn(InLine)
            case kept
            case surplus(last: [Waiter<Void>])
        }
        let outcome: Outcome = state.withLock { state in
            if !state.isClosed {
                if !state.line.isEmpty { return .handedOn(state.line.removeFirst()) }
                if case .connection(let connection) = grant {
                    state.idle.append(connection)
                    return .kept
                }
            }
            state.open -= 1
            guard state.open == 0 else { return .surplus(last: []) }
            defer { state.closing = [] }
            return .surplus(last: state.closing)
        }
        switch outcome {
        case .handedOn(let waiting): waiting.continuation.resume(returning: grant)
        case .kept: break
        case .surplus(let last):
            if case .connection(let connection) = grant { await connection.close() }
            for waiter in last { waiter.resume(with: .success(())) }
        }
    }

    // MARK: Deadlines of those in line

    /// All wait equally long, so the first in line is the first to give up, and one timer serves them all.
    private func startSweeping(_ state: inout State, after delay: Duration) {
        guard !state.isSweeping else { return }
        state.isSweeping = true
        loop.execute { [loop, weak self] in
            loop.schedule(after: delay) { self?.sweep() }
        }
    }

    private func sweep() {
        let expired = state.withLock { state in
            state.isSweeping = false
            let now = ContinuousClock.now
            let expired = state.line.prefix { $0.until <= now }
            state.line.removeFirst(expired.count)
            if let next = state.line.first { startSweeping(&state, after: next.until - now) }
            return expired
        }
        for waiting in expired {
            waiting.continuation.resume(
                throwing: PostgresError(
                    .timeout, "None of \(size) PostgreSQL connections came free within \(acquireLimit).",
                    hint: "Statements take long, or transactions are nested: see pg_stat_activity."))
        }
    }
}
