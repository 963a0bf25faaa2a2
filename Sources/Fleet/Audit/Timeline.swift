/// What happened to an environment: what was done to it and what was run in it, newest first.
package struct Timeline: Sendable {
    package enum Event: Sendable {
        case audit(AuditEntry)
        case execution(ExecutionSummary)
    }

    /// Where a page goes on: after these, each the oldest of its kind that was shown.
    package struct Position: Sendable, Hashable, CustomStringConvertible {
        var audit: Int64?
        var execution: ExecutionID?

        /// Such as `41.-` or `41.6f1c…`; `nil` if the text is none.
        package init?(_ text: String) {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0] == "-" || Int64(parts[0]).map({ $0 > 0 }) == true,
                parts[1] == "-" || ExecutionID(String(parts[1])) != nil
            else { return nil }
            audit = Int64(parts[0])
            execution = ExecutionID(String(parts[1]))
        }

        init(audit: Int64?, execution: ExecutionID?) {
            self.audit = audit
            self.execution = execution
        }

        package var description: String {
            "\(audit.map { "\($0)" } ?? "-").\(execution.map { "\($0)" } ?? "-")"
        }
    }

    package let events: [Event]
    /// `nil`: this is the last page.
    package let next: Position?
}

extension Fleet {
    /// A page of an environment's timeline, at most 200 events. The audit lines of executions are left out: the
    /// executions themselves say more.
    package func timeline(
        of environment: EnvironmentID, limit: Int = 100, before position: Timeline.Position? = nil
    ) async throws -> Timeline {
        let limit = min(max(limit, 1), 200)
        var filter = AuditFilter()
        filter.environment = environment
        filter.otherThan = "execute"
        // One more than is shown tells whether there is more; each kind alone may fill the page.
        var lines = try await audit.search(filter, limit: limit + 1, before: position?.audit)[...]
        var runs = try await executions.list(
            environment: environment, limit: limit + 1, before: position?.execution)[...]
        var events: [Timeline.Event] = []
        var next = position ?? Timeline.Position(audit: nil, execution: nil)
        while events.count < limit {
            if let line = lines.first, runs.first.map({ $0.startedAt <= line.createdAt }) ?? true {
                events.append(.audit(lines.removeFirst()))
                next.audit = line.id
            } else if let run = runs.first {
                events.append(.execution(runs.removeFirst()))
                next.execution = run.id
            } else {
                break
            }
        }
        return Timeline(events: events, next: lines.isEmpty && runs.isEmpty ? nil : next)
    }
}
