import Fleet
import Foundation
import Logging
import Synchronization
import Testing

@testable import Execution

@Suite struct BacklogTests {
    final class Database: Sendable {
        let isUp = Mutex(false)
        let written = Mutex<[ExecutionID]>([])

        func write(_ entry: HistoryBacklog.Entry) throws {
            guard entry.record.language != "refused" else {
                throw ServiceError(.internalError, "No.", hint: "None.")
            }
            guard isUp.withLock({ $0 }) else {
                throw ServiceError(.serviceUnavailable, "Down.", hint: "Wait.")
            }
            written.withLock { $0.append(entry.record.id) }
        }
    }

    func entry(_ language: String = "python") -> HistoryBacklog.Entry {
        HistoryBacklog.Entry(
            record: ExecutionRecord(
                id: ExecutionID(), userID: UserID(), environmentID: EnvironmentID(), gatewayID: "g", requestID: nil,
                language: language, code: []), outcome: ExecutionOutcome(state: .exited), actor: .system("test"))
    }

    func backlog(_ database: Database) -> HistoryBacklog {
        HistoryBacklog(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) { try database.write($0) }
    }

    @Test func whatTheDatabaseDidNotTakeIsWrittenOnceItDoes() async {
        let database = Database()
        let backlog = backlog(database)
        let entries = [entry(), entry("refused"), entry()]
        for entry in entries { #expect(backlog.add(entry)) }
        await backlog.flush()
        #expect(backlog.count == 3 && database.written.withLock { $0.isEmpty })
        database.isUp.withLock { $0 = true }
        await backlog.flush()
        #expect(backlog.count == 0)
        #expect(database.written.withLock { $0 } == [entries[0].record.id, entries[2].record.id])
    }

    @Test func itHasABound() {
        let backlog = backlog(Database())
        for _ in 0..<HistoryBacklog.capacity { #expect(backlog.add(entry())) }
        #expect(!backlog.add(entry()))
    }
}
