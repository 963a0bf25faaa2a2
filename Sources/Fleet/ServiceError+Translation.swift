import Cryptography
import JobQueue
import PostgreSQL
import Redis

extension ServiceError {
    /// Runs `body`, saying of a failure in the rooms below what was not done because of it. Errors of the domain and
    /// cancellation pass through untouched.
    @discardableResult
    static func translating<Result>(
        _ undone: @autoclosure () -> String, _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await body()
        } catch let error as PostgresError {
            throw ServiceError(database: error, undone())
        } catch let error as RedisError {
            throw ServiceError(
                .serviceUnavailable, "\(undone()): Redis did not answer.",
                hint: "Try again; operators: 'martlet doctor' looks at Redis.", cause: error)
        } catch let error as JobQueueError {
            throw ServiceError(
                .internalError, "\(undone()): the queue refused.",
                hint: "Operators: the server's log says why.", cause: error)
        } catch let error as CryptographyError {
            throw ServiceError(
                .internalError, "\(undone()): its secrets cannot be sealed or opened.",
                hint: "Operators: give every server the key that the secrets were sealed with.", cause: error)
        }
    }

    /// A lost or busy database may be back soon; a statement it refuses is our own fault.
    private init(database error: PostgresError, _ undone: String) {
        switch error.kind {
        case .connectFailed, .connectionLost, .timeout, .closed, .exhausted:
            self.init(
                .serviceUnavailable, "\(undone): the database did not answer.",
                hint: "Try again; operators: 'martlet doctor' looks at PostgreSQL.", cause: error)
        case .server, .transactionAborted, .encode, .decode, .migration:
            self.init(
                .internalError, "\(undone): the database refused.",
                hint: "Report it with the request's id; the log says more.", cause: error)
        }
    }

    static func environmentNotFound(_ name: String) -> ServiceError {
        ServiceError(
            .environmentNotFound, "There is no environment '\(name)'.", hint: "'martlet env list' shows yours.")
    }
}
