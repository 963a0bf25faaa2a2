import PostgreSQL
import Synchronization
import TestSupport
import Testing

final class Recorder: Sendable {
    private let state = Mutex((connects: 0, payloads: [String]()))

    func recordConnect() { state.withLock { $0.connects += 1 } }
    func record(_ notification: PostgresNotification) { state.withLock { $0.payloads.append(notification.payload) } }
    var connects: Int { state.withLock { $0.connects } }
    var payloads: [String] { state.withLock { $0.payloads } }
}

@Suite struct ListeningTests {
    private let channel = "odd \"channel\""

    private func listen(on pool: PostgresPool) -> (listener: Task<Void, any Error>, recorder: Recorder) {
        let recorder = Recorder()
        let listener = Task { [channel] in
            try await pool.listen(["other", channel]) {
                recorder.record($0)
            } onConnect: {
                recorder.recordConnect()
            }
        }
        return (listener, recorder)
    }

    private func notify(_ pool: PostgresPool, _ payload: String) async throws {
        try await pool.execute("select pg_notify(\(channel), \(payload))")
    }

    @Test func notificationsComeInOrderUntilCancelled() async throws {
        try await LivePostgres.withDatabase { pool in
            let (listener, recorder) = listen(on: pool)
            try await eventually(describing: "listening") { recorder.connects == 1 }
            // More than are kept for a busy listener at a time.
            for number in 0..<3_000 { try await notify(pool, "\(number)") }
            try await eventually(
                describing: "all notifications", read: { recorder.payloads.count }, until: { $0 == 3_000 })
            #expect(recorder.payloads == (0..<3_000).map { "\($0)" })
            listener.cancel()
            await #expect(throws: CancellationError.self) { try await listener.value }
            #expect(recorder.connects == 1)
        }
    }

    @Test func aTerminatedListenerConnectsAgainAndSaysSo() async throws {
        try await LivePostgres.withDatabase { pool in
            let (listener, recorder) = listen(on: pool)
            try await eventually(describing: "listening") { recorder.connects == 1 }
            for round in 2...3 {
                try await pool.execute(
                    """
                    select pg_terminate_backend(pid, 10000) from pg_stat_activity
                    where datname = current_database() and query ilike 'listen%'
                    """)
                try await eventually(describing: "listening again") { recorder.connects == round }
                try await notify(pool, "round \(round)")
                try await eventually(describing: "the notification") { recorder.payloads.last == "round \(round)" }
            }
            listener.cancel()
            await #expect(throws: CancellationError.self) { try await listener.value }
        }
    }

    @Test func closingThePoolEndsTheListener() async throws {
        try await LivePostgres.withDatabase { pool in
            let (listener, recorder) = listen(on: pool)
            try await eventually(describing: "listening") { recorder.connects == 1 }
            await pool.close()
            let error = await #expect(throws: PostgresError.self) { try await listener.value }
            #expect(error?.kind == .closed)
        }
    }
}
