import Fleet
import Logging
import PostgreSQL

/// Has one of all workers do something: the one whose connection holds an advisory lock of PostgreSQL.
struct Election: Sendable {
    let database: PostgresPool
    /// What the elected one is to do: names the lock.
    let office: String
    let worker: String
    /// How often one that is not elected stands again.
    let interval: Duration
    let logger: Logger

    /// The first half of the locks' names: "mart" in ASCII.
    private static let realm: Int32 = 0x6D61_7274

    /// Stands for election again and again until cancelled. While elected runs `body`, which is cancelled when the
    /// connection that holds the lock is lost.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        while !Task.isCancelled {
            do {
                try await stand(body)
            } catch is CancellationError {
                return
            } catch {
                logger.warning("sweeps interrupted", metadata: ["office": "\(office)", "error": "\(error)"])
            }
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }

    private func stand(_ body: @escaping @Sendable () async -> Void) async throws {
        try await database.withConnection { connection in
            let rows = try await connection.query(
                "SELECT pg_try_advisory_lock(\(Int(Self.realm))::integer, hashtext(\(office))) AS elected")
            guard try rows.first?.decode("elected", as: Bool.self) == true else { return }
            logger.info("elected to sweep", metadata: ["worker": "\(worker)", "office": "\(office)"])
            let ending: Result<Void, any Error>
            do {
                ending = .success(try await hold(connection, during: body))
            } catch {
                ending = .failure(error)
            }
            await Task {
                // The connection goes back to the pool, and must not take the lock with it.
                _ = try? await connection.query(
                    "SELECT pg_advisory_unlock(\(Int(Self.realm))::integer, hashtext(\(office)))")
            }.value
            try ending.get()
        }
    }

    private func hold(_ connection: PostgresConnection, during body: @escaping @Sendable () async -> Void) async throws
    {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(2))
                    _ = try await connection.query("SELECT 1")
                }
            }
            group.addTask { await body() }
            try await group.next()
            group.cancelAll()
        }
    }
}
