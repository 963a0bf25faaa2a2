import Logging

extension PostgresPool {
    package enum Isolation: String, Sendable {
        case readCommitted = "read committed"
        case repeatableRead = "repeatable read"
        case serializable
    }

    private static let maximumRepetitions = 5

    /// Runs `body` in a transaction: committed when it returns, rolled back when it throws or the task is cancelled
    /// before. If the server gave the transaction up for the sake of others (serialization failure, deadlock), `body`
    /// runs again, at most five times, whatever it made of the error; so it must do nothing that a rollback leaves.
    /// Throws `.transactionAborted` if `body` swallowed the error of a statement: then nothing was committed.
    package func withTransaction<Value>(
        isolation: Isolation = .readCommitted, _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        var repetitions = 0
        while true {
            var mayRepeat = false
            do {
                return try await withConnection { connection in
                    do {
                        return try await Self.transaction(on: connection, isolation: isolation, body)
                    } catch {
                        mayRepeat = await connection.hasSerializationFailure
                        throw error
                    }
                }
            } catch {
                guard mayRepeat, repetitions < Self.maximumRepetitions, !Task.isCancelled else { throw error }
            }
            repetitions += 1
            // Whoever it collided with gets time to finish; random, or both would meet again.
            let most = 5 << repetitions
            try await ContinuousClock().sleep(for: .milliseconds(Int.random(in: 1...most)))
        }
    }

    static func transaction<Value>(
        on connection: PostgresConnection, isolation: Isolation,
        _ body: (PostgresConnection) async throws -> Value
    ) async throws -> Value {
        try await connection.begin("begin isolation level \(raw: isolation.rawValue)")
        let value: Value
        do {
            value = try await body(connection)
            try Task.checkCancellation()
        } catch {
            await connection.rollback()
            throw error
        }
        try await connection.commit()
        return value
    }
}

extension PostgresConnection {
    private static let controlLimit = Duration.seconds(10)

    // These run to their end whatever becomes of the task.

    func begin(_ sql: SQL) async throws {
        hasSerializationFailure = false
        _ = try await perform([sql], deadline: Self.controlLimit, cancellable: false)
    }

    /// A connection on which this fails is not reusable, and the pool closes it.
    func rollback() async {
        do {
            _ = try await perform(["rollback"], deadline: Self.controlLimit, cancellable: false)
        } catch {
            logger.debug("PostgreSQL transaction not rolled back", metadata: ["reason": "\(error)"])
        }
    }

    func commit() async throws {
        guard handle.transactionStatus != .failed else {
            await rollback()
            throw PostgresError(
                .transactionAborted, "Transaction rolled back: a statement in it had failed.",
                hint: "Let the statement's error leave the body of the transaction.")
        }
        do {
            _ = try await perform(["commit"], deadline: nil, cancellable: false)
        } catch let error as PostgresError where error.kind == .connectionLost || error.kind == .timeout {
            throw PostgresError(
                .connectionLost, "Whether the transaction was committed is unknown: \(error.message)",
                sqlState: error.sqlState, hint: "Read what it wrote before doing it again.")
        }
    }
}
