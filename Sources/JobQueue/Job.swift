package import Foundation

/// Where a job is.
package enum JobState: String, CaseIterable, Sendable {
    case waiting
    case paused  // waiting in a queue that is paused
    case prioritized
    case delayed
    case active
    case completed
    case failed
    case waitingChildren = "waiting-children"
    case unknown  // in none of them, or there is no such job
}

/// A job as it was when read.
package struct Job: Sendable, Identifiable {
    package let id: String
    package let name: String
    package let data: String  // JSON text
    package let options: JobOptions
    package let timestamp: Date
    package let delay: Duration
    package let priority: Int
    package let attemptsStarted: Int
    package let attemptsMade: Int  // ended, one way or the other
    package let stalledCount: Int  // times taken from a worker that had gone silent
    package let failedReason: String?
    package let stacktrace: [String]  // one entry a failure, oldest first
    package let progress: String?  // JSON text
    package let returnValue: String?  // JSON text
    package let processedOn: Date?
    package let processedBy: String?  // the worker's name
    package let finishedOn: Date?
    package let deduplicationID: String?
    package let state: JobState?

    let deferredFailure: String?
    let isFlowChild: Bool

    /// From the job's hash (sheet, section 2). Absent counters are zero; the queue's other clients leave some out.
    init(id: String, fields: [String: String], state: JobState? = nil) {
        func number(_ name: String) -> Int? {
            fields[name].flatMap { Double($0) }.flatMap { Int(exactly: $0.rounded()) }
        }
        func date(_ name: String) -> Date? { number(name).map { Date(milliseconds: $0) } }
        self.id = id
        name = fields["name"] ?? ""
        data = fields["data"] ?? "{}"
        options = JobOptions(stored: fields["opts"] ?? "{}")
        timestamp = date("timestamp") ?? Date(milliseconds: 0)
        delay = .milliseconds(number("delay") ?? 0)
        priority = number("priority") ?? 0
        attemptsStarted = number("ats") ?? 0
        attemptsMade = number("attemptsMade") ?? number("atm") ?? 0
        stalledCount = number("stc") ?? 0
        failedReason = fields["failedReason"].map { Self.unquoted($0) }
        let stored = fields["stacktrace"].map { Data($0.utf8) }
        stacktrace = stored.flatMap { try? JSONDecoder().decode([String].self, from: $0) } ?? []
        progress = fields["progress"]
        returnValue = fields["returnvalue"]
        processedOn = date("processedOn")
        processedBy = fields["pb"]
        finishedOn = date("finishedOn")
        deduplicationID = fields["deid"]
        deferredFailure = fields["defa"]
        isFlowChild = fields["parentKey"] != nil
        self.state = state
    }

    /// Python's v5 client stores the final reason as a JSON string (sheet, section 9 #5).
    private static func unquoted(_ text: String) -> String {
        guard text.count >= 2, text.hasPrefix("\""), text.hasSuffix("\"") else { return text }
        return (try? JSONDecoder().decode([String].self, from: Data("[\(text)]".utf8)))?.first ?? text
    }
}
