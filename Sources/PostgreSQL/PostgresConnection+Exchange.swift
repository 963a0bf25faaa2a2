import Dispatch
import EventLoop
import Logging

/// Why an exchange is not simply waited for any more.
enum Interruption: Error {
    case cancelled
    case deadline
    case impatience  // while draining: the request to cancel may have come between two statements, so ask again
}

/// What was sent up to one synchronisation point, and what has come back for it.
struct Exchange {
    /// One command, by what its answer means to us.
    enum Step {
        case housekeeping  // its answer matters to nobody
        case prepare(String)
        case execute(String, wasPrepared: Bool)
        case script
        case synchronise
    }

    var steps: ArraySlice<Step>
    var results: [ResultTable] = []
    var failure: PostgresError?
    var staleStatements: [String] = []  // prepared ones that are of no use any more

    func get() throws(PostgresError) -> [ResultTable] {
        if let failure { throw failure }
        return results
    }
}

extension PostgresConnection {
    /// Executes all statements in one exchange.
    func perform(_ sql: [SQL], deadline: Duration?, cancellable: Bool = true) async throws -> [ResultTable] {
        let rendered = sql.map { $0.rendered() }
        for (text, binds) in rendered { try Self.validate(text, binds) }
        guard !rendered.isEmpty else { return [] }
        try await takeTurn(cancellable: cancellable)
        defer { passTurn() }
        let deadline = deadline ?? statementDeadline
        let isRepeatable = handle.transactionStatus == .idle
        let exchange = try await run(deadline: deadline, cancellable: cancellable) { () throws(PostgresError) in
            try send(rendered)
        }
        guard isRepeatable, !exchange.staleStatements.isEmpty else { return try exchange.get() }
        // After ALTER TABLE, DISCARD ALL and the like. Nothing of the exchange took effect: it failed as a whole.
        return try await run(deadline: deadline, cancellable: cancellable) { () throws(PostgresError) in
            try send(rendered)
        }.get()
    }

    static func validate(_ text: String, _ binds: [PostgresBind]) throws(PostgresError) {
        guard !text.utf8.contains(0) else { throw PostgresError(.encode, "The SQL text holds a NUL character.") }
        guard binds.count <= 65_535 else {
            throw PostgresError(.encode, "\(binds.count) binds in one statement: 65535 is the most.")
        }
        for case (let index, .text(let value)) in binds.enumerated() where value.utf8.contains(0) {
            throw PostgresError(
                .encode, "Bind $\(index + 1) holds a NUL character, which PostgreSQL text cannot.",
                hint: "Bind bytes to a bytea column instead.")
        }
    }

    /// Queues the statements and says what answers they will get.
    private func send(_ rendered: [(text: String, binds: [PostgresBind])]) throws(PostgresError) -> [Exchange.Step] {
        var steps: [Exchange.Step] = []
        if handle.transactionStatus == .idle {
            // Each synchronised by itself, so that nothing hangs on its success.
            for name in statements.takeEvicted() {
                try handle.execute(once: "deallocate \(name)")
                try handle.synchronise()
                steps += [.housekeeping, .synchronise]
            }
        }
        for (text, binds) in rendered {
            let (name, isNew) = statements.name(for: text)
            if isNew {
                try handle.prepare(text, as: name)
                steps.append(.prepare(text))
            }
            try handle.execute(prepared: name, binds)
            steps.append(.execute(text, wasPrepared: !isNew))
        }
        try handle.synchronise()
        steps.append(.synchronise)
        return steps
    }

    /// Has `begin` queue commands, and collects their answers. The exchange has ended when this returns or throws, or
    /// the connection is closed.
    func run(
        deadline: Duration, cancellable: Bool, _ begin: () throws(PostgresError) -> [Exchange.Step]
    ) async throws -> Exchange {
        if let end { throw end }
        if cancellable { try Task.checkCancellation() }
        operation += 1
        interruption = nil
        let number = operation
        let timer = schedule(.deadline, after: deadline)
        defer { loop.cancel(timer) }
        var exchange = Exchange(steps: try guarding(begin)[...])
        do {
            try await withTaskCancellationHandler {
                try await collect(&exchange)
            } onCancel: {
                guard cancellable else { return }
                loop.execute { [weak self] in self?.assumeIsolated { $0.interrupt(number, .cancelled) } }
            }
        } catch let reason as Interruption {
            await stop(&exchange)
            if reason == .cancelled { throw CancellationError() }
            throw PostgresError(
                .timeout, "No answer from PostgreSQL within \(deadline).",
                hint: end == nil ? "The statement was cancelled." : "The connection was closed.")
        } catch let error as PostgresError {
            // 57P..: the server said why it ends the session, and the end of file came after.
            guard let reason = exchange.failure, let sqlState = reason.sqlState, sqlState.hasPrefix("57P") else {
                throw error
            }
            throw PostgresError(
                .connectionLost, "Connection to PostgreSQL lost: \(reason.message)", sqlState: sqlState)
        }
        return exchange
    }

    private func collect(_ exchange: inout Exchange) async throws {
        while let step = exchange.steps.first {
            while true {
                let isFlushed = try guarding { () throws(PostgresError) in try handle.flush() }
                if !handle.isWaiting { break }
                if let interruption { throw interruption }
                await readiness(for: isFlushed ? .read : [.read, .write])
                if let end { throw end }
                try guarding { () throws(PostgresError) in try handle.consume() }
                takeNotifications()
            }
            let answer = try guarding { () throws(PostgresError) in try handle.next() }
            record(answer, to: step, in: &exchange)
        }
    }

    private func record(_ answer: ConnectionHandle.Answer, to step: Exchange.Step, in exchange: inout Exchange) {
        if case .failed(let error) = answer, error.isSerializationFailure { hasSerializationFailure = true }
        switch (answer, step) {
        case (.ended, _), (.synchronised, _): exchange.steps.removeFirst()
        case (.result(let table), .execute): exchange.results.append(table)
        case (.result, .housekeeping), (.result, .prepare), (.result, .script), (.result, .synchronise): break
        case (.failed, .housekeeping), (.skipped, .housekeeping): break
        case (.failed(let error), .prepare(let text)):
            statements.forget(text)
            exchange.failure = exchange.failure ?? error
        case (.skipped, .prepare(let text)): statements.forget(text)
        case (.failed(let error), .execute(let text, let wasPrepared)):
            exchange.failure = exchange.failure ?? error
            // invalid_sql_statement_name: deallocated by others; feature_not_supported: "cached plan must not change
            // result type".
            if wasPrepared, error.sqlState == "26000" || error.sqlState == "0A000" {
                exchange.staleStatements.append(text)
                if error.sqlState == "26000" { statements.forget(text) } else { statements.evict(text) }
            }
        case (.failed(let error), .script), (.failed(let error), .synchronise):
            exchange.failure = exchange.failure ?? error
        case (.skipped, .execute), (.skipped, .script), (.skipped, .synchronise): break
        }
    }

    /// Brings an interrupted exchange to its end: has the server cancel it, and reads on. Not cancellable. If that
    /// takes too long, the connection is closed.
    private func stop(_ exchange: inout Exchange) async {
        let clock = ContinuousClock()
        let limit = clock.now + Self.drainLimit
        while clock.now < limit, end == nil {
            guard let isTaken = await requestCancel() else { break }
            if !isTaken { logger.debug("PostgreSQL did not take a request to cancel") }
            interruption = nil
            let timer = schedule(.impatience, after: .milliseconds(250))
            defer { loop.cancel(timer) }
            do {
                return try await collect(&exchange)
            } catch is Interruption {
                continue
            } catch {
                return  // the connection is closed
            }
        }
        finish(PostgresError(.connectionLost, "A statement could not be cancelled: connection closed."))
    }

    /// Whether the server took the request; nil if that is unknown, so the connection must not be used again.
    private func requestCancel() async -> Bool? {
        guard let cancelToken else { return nil }
        let answer = Waiter<Bool?>()
        let timer = loop.schedule(after: Self.drainLimit) { answer.resume(with: .success(nil)) }
        defer { loop.cancel(timer) }
        BlockingCalls.queue.async { answer.resume(with: .success(cancelToken.cancel())) }
        return try? await withCheckedThrowingContinuation { answer.hold($0) }
    }

    // MARK: Interruptions and readiness

    private func schedule(_ reason: Interruption, after delay: Duration) -> EventLoop.TimerID {
        let number = operation
        return loop.schedule(after: delay) { [weak self] in
            self?.assumeIsolated { $0.interrupt(number, reason) }
        }
    }

    private func interrupt(_ number: Int, _ reason: Interruption) {
        guard number == operation, interruption == nil else { return }
        interruption = reason
        resumeReadiness()
    }

    /// Looked at and kept in one go, for to call this may have given way to others: whatever came before is seen here,
    /// whatever comes after resumes it.
    private func readiness(for interest: EventLoop.Readiness) async {
        await withCheckedContinuation { continuation in
            guard interruption == nil, end == nil else { return continuation.resume() }
            readiness = continuation
            if let watched { loop.setInterest(of: watched, to: interest) }
        }
    }

    func resumeReadiness() {
        readiness?.resume()
        readiness = nil
    }

    func descriptorIsReady() {
        guard let watched else { return }
        if readiness == nil, !isOccupied { return absorb() }
        // Level-triggered: not again until someone waits for it.
        loop.setInterest(of: watched, to: [])
        resumeReadiness()
    }

    /// Reads what has come. Finds out when the session is over.
    func absorb() {
        guard end == nil else { return }
        do {
            try guarding { () throws(PostgresError) in try handle.consume() }
            takeNotifications()
        } catch {
            logger.debug("PostgreSQL session over", metadata: ["reason": "\(error)"])
        }
    }

    /// What fails in libpq itself ends the session.
    func guarding<Value>(_ body: () throws(PostgresError) -> Value) throws(PostgresError) -> Value {
        do {
            return try body()
        } catch {
            finish(error)
            throw error
        }
    }

    // MARK: Turns

    /// Waits until no other operation is under way on this connection.
    func takeTurn(cancellable: Bool) async throws {
        guard isOccupied else {
            isOccupied = true
            return
        }
        guard queue.count < Self.maximumQueue else {
            throw PostgresError(.exhausted, "\(queue.count) operations wait for one connection already.")
        }
        let turn = Waiter<Void>()
        queue.append(turn)
        do {
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { turn.hold($0) }
            } onCancel: {
                if cancellable { turn.resume(with: .failure(CancellationError())) }
            }
        } catch {
            if let index = queue.firstIndex(where: { $0 === turn }) {
                queue.remove(at: index)
            } else {
                passTurn()  // it came together with the cancellation
            }
            throw error
        }
    }

    func passTurn() {
        if queue.isEmpty {
            isOccupied = false
            if let watched { loop.setInterest(of: watched, to: .read) }
        } else {
            queue.removeFirst().resume(with: .success(()))
        }
    }
}
