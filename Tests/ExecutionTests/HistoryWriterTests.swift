import EventLoop
import Fleet
import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import Execution

@Suite struct HistoryWriterTests {
    final class Database: Sendable {
        let isUp = Mutex(false)
        let written = Mutex<[ExecutionID]>([])
        let refused = Mutex(0)
        let ends = Mutex(0)

        func write(_ entry: HistoryWriter.Entry) throws {
            guard entry.record.language != "refused" else {
                throw ServiceError(.internalError, "No.", hint: "None.")
            }
            guard isUp.withLock({ $0 }) else {
                refused.withLock { $0 += 1 }
                throw ServiceError(.serviceUnavailable, "Down.", hint: "Wait.")
            }
            written.withLock { $0.append(entry.record.id) }
            if entry.outcome != nil { ends.withLock { $0 += 1 } }
        }
    }

    func entry(_ language: String = "python") -> HistoryWriter.Entry {
        HistoryWriter.Entry(
            record: ExecutionRecord(
                id: ExecutionID(), userID: UserID(), environmentID: EnvironmentID(), gatewayID: "g", requestID: nil,
                language: language, code: []), outcome: ExecutionOutcome(state: .exited), actor: .system("test"))
    }

    /// A writer that runs until `body` is left.
    func withWriter(_ database: Database, _ body: (HistoryWriter) async throws -> Void) async throws {
        let writer = HistoryWriter(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            try database.write($0)
        }
        #expect(!writer.add(entry()))  // nobody is there to write it
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await writer.run() }
            try await eventually(describing: "it takes entries") { writer.add(entry("refused")) }
            try await eventually(describing: "nothing is left") { writer.count == 0 }
            try await body(writer)
            group.cancelAll()
            while let ended = await group.nextResult() { #expect(throws: CancellationError.self) { try ended.get() } }
        }
    }

    @Test func whatTheDatabaseDidNotTakeIsWrittenOnceItDoes() async throws {
        let database = Database()
        try await withWriter(database) { writer in
            let entries = [entry(), entry("refused"), entry()]
            for entry in entries { #expect(writer.add(entry)) }
            try await eventually(describing: "all were tried") { database.refused.withLock { $0 } >= 2 }
            #expect(database.written.withLock { $0.isEmpty })
            database.isUp.withLock { $0 = true }
            try await eventually(describing: "nothing is left") { writer.count == 0 }
            #expect(Set(database.written.withLock { $0 }) == [entries[0].record.id, entries[2].record.id])
        }
    }

    @Test func aRunThatHasEndedMeanwhileIsWrittenOnce() async throws {
        let database = Database()
        database.isUp.withLock { $0 = true }
        try await withWriter(database) { writer in
            let ended = entry()
            let begun = HistoryWriter.Entry(record: ended.record, outcome: nil, actor: ended.actor)
            // On a loop, where what is added waits for what follows it.
            await Task(executorPreference: EventLoop.next().tasks) {
                for entry in [begun, ended, begun] { #expect(writer.add(entry)) }
            }.value
            #expect(writer.count == 1)
            try await eventually(describing: "nothing is left") { writer.count == 0 }
            #expect(database.written.withLock { $0 } == [ended.record.id])
            #expect(database.ends.withLock { $0 } == 1)
        }
    }

    @Test func whatIsLeftAtTheEndIsWritten() async throws {
        let database = Database()
        let late = entry()
        try await withWriter(database) { writer in
            #expect(writer.add(late))
            try await eventually(describing: "it was tried") { database.refused.withLock { $0 } >= 1 }
            database.isUp.withLock { $0 = true }
        }
        #expect(database.written.withLock { $0 } == [late.record.id])
    }

    @Test func itHasABound() async throws {
        try await withWriter(Database()) { writer in
            for _ in 0..<HistoryWriter.capacity { #expect(writer.add(entry())) }
            #expect(!writer.add(entry()))
        }
    }
}
