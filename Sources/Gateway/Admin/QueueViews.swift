import Fleet
import Foundation
import JobQueue

/// A queue at a glance.
struct QueueView: Encodable, Sendable {
    var name: String
    var isPaused: Bool
    var counts: [String: Int]
    var workers: [String]

    init(_ report: QueueReport) {
        name = report.name
        isPaused = report.isPaused
        counts = Dictionary(
            uniqueKeysWithValues: AdminRoutes.jobStates.map { ($0.rawValue, report.counts[$0] ?? 0) })
        workers = report.workers
    }
}

/// A job with all that is known of it.
struct JobView: Encodable, Sendable {
    var id: String
    var name: String
    var state: JobState
    var data: EmbeddedJSON
    /// Whose job it is, if its data says so.
    @Nullable var environmentId: EnvironmentID?
    var attemptsMade: Int
    var attemptsStarted: Int
    var maxAttempts: Int
    var stalledCount: Int
    var priority: Int
    var delayMs: Int
    @Nullable var failedReason: String?
    var stacktrace: [String]
    @Nullable var progress: EmbeddedJSON?
    @Nullable var returnValue: EmbeddedJSON?
    var createdAt: Date
    @Nullable var processedAt: Date?
    @Nullable var processedBy: String?
    @Nullable var finishedAt: Date?

    init(_ job: Job) {
        id = job.id
        name = job.name
        state = job.state ?? .unknown
        data = EmbeddedJSON(job.data)
        environmentId = (try? EnvironmentJob(json: job.data))?.environmentID
        attemptsMade = job.attemptsMade
        attemptsStarted = job.attemptsStarted
        maxAttempts = job.options.attempts
        stalledCount = job.stalledCount
        priority = job.priority
        delayMs = Int(job.delay / .milliseconds(1))
        failedReason = job.failedReason
        stacktrace = job.stacktrace
        progress = job.progress.map { EmbeddedJSON($0) }
        returnValue = job.returnValue.map { EmbeddedJSON($0) }
        createdAt = job.timestamp
        processedAt = job.processedOn
        processedBy = job.processedBy
        finishedAt = job.finishedOn
    }
}

extension JobState: Encodable {}

/// A value that was kept as JSON text; a text that is none is shown as a string.
struct EmbeddedJSON: Encodable, Sendable {
    private indirect enum Value: Codable {
        case null, bool(Bool), integer(Int), number(Double), string(String), array([Value]), object([String: Value])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let value = try? container.decode(Bool.self) {
                self = .bool(value)
            } else if let value = try? container.decode(Int.self) {
                self = .integer(value)
            } else if let value = try? container.decode(Double.self) {
                self = .number(value)
            } else if let value = try? container.decode(String.self) {
                self = .string(value)
            } else if let value = try? container.decode([Value].self) {
                self = .array(value)
            } else {
                self = .object(try container.decode([String: Value].self))
            }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .null: try container.encodeNil()
            case .bool(let value): try container.encode(value)
            case .integer(let value): try container.encode(value)
            case .number(let value): try container.encode(value)
            case .string(let value): try container.encode(value)
            case .array(let value): try container.encode(value)
            case .object(let value): try container.encode(value)
            }
        }
    }

    private let value: Value

    init(_ text: String) {
        value = (try? JSONDecoder().decode(Value.self, from: Data(text.utf8))) ?? .string(text)
    }

    func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}
