import Fleet
import Logging
import Synchronization

/// Ends of runs that the database did not take when they came: written as soon as it does.
///
/// A run does not wait for a history that cannot be written, and its row must not say `running` for as long as the
/// gateway lives. What is still here when the gateway ends is lost; the sweep then calls those executions `lost`.
final class HistoryBacklog: Sendable {
    struct Entry: Sendable {
        let record: ExecutionRecord
        let outcome: ExecutionOutcome
        let actor: AuditActor
    }

    /// Of at most 192 KiB each.
    static let capacity = 256
    static let interval = Duration.seconds(1)

    /// Writes beginning and end, however much of both is written already. Throws if the database does not take it.
    private let write: @Sendable (Entry) async throws -> Void
    private let logger: Logger
    private let entries = Mutex<[Entry]>([])

    init(logger: Logger, write: @escaping @Sendable (Entry) async throws -> Void) {
        self.logger = logger
        self.write = write
    }

    var count: Int { entries.withLock { $0.count } }

    /// `false`: there are too many already.
    func add(_ entry: Entry) -> Bool {
        entries.withLock { entries in
            guard entries.count < Self.capacity else { return false }
            entries.append(entry)
            return true
        }
    }

    /// Tries again every second until cancelled.
    func run(clock: any Clock<Duration> = ContinuousClock()) async throws {
        while true {
            try await clock.sleep(for: Self.interval)
            await flush()
        }
    }

    /// Writes what the database takes, in order, and stops at the first that it does not.
    func flush() async {
        while let entry = entries.withLock({ $0.first }) {
            do {
                try await write(entry)
            } catch let error as ServiceError where error.code != .serviceUnavailable {
                // It will not take this one later either.
                logger.error(
                    "execution missing from the history",
                    metadata: ["execution": "\(entry.record.id)", "error": "\(error)"])
            } catch {
                return
            }
            entries.withLock { entries in
                if entries.first?.record.id == entry.record.id { entries.removeFirst() }
            }
        }
    }
}
