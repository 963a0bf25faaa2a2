import Fleet
import Logging
import Telemetry

/// Removes old records, the oldest first, a batch a statement: no lock is held for longer than one takes, and where a round
/// is ended in its middle the next goes on from there. Each kind is a sweep by itself.
struct Pruner: Sendable {
    /// Rows a statement: of some hundred bytes each, and of what may have 192 KiB.
    static let batch = (small: 5_000, large: 1_000)

    let fleet: Fleet
    let configuration: WorkerConfiguration
    let metrics: WorkerMetrics
    let logger: Logger

    var sweeps: [Sweep] {
        [
            sweep("history", of: "environment_executions", kept: configuration.executionsKept) { age in
                try await fleet.executions.prune(olderThan: age, limit: Self.batch.large)
            },
            sweep("audit", of: "environment_audit_log", kept: configuration.auditKept) { age in
                try await fleet.audit.prune(olderThan: age, limit: Self.batch.small)
            },
            sweep("uptime", of: "environment_runs", kept: configuration.uptimeKept) { age in
                try await fleet.quotas.pruneRuns(olderThan: age, limit: Self.batch.small)
            },
            // Answers kept for repeated requests, and sessions of browsers; both know themselves when they are over.
            sweep("answers", of: "idempotency_keys", kept: .zero) { _ in
                try await fleet.idempotency.prune(limit: Self.batch.large)
            },
            sweep("sessions", of: "web_sessions", kept: .zero) { _ in
                try await fleet.webSessions.prune(limit: Self.batch.large)
            },
        ]
        .compactMap(\.self)
    }

    /// `kept`: nil, for ever. `remove` removes a batch of what is older than that, and says how many rows it was.
    private func sweep(
        _ name: String, of table: String, kept age: Duration?,
        _ remove: @escaping @Sendable (Duration) async throws -> Int
    ) -> Sweep? {
        guard let age else { return nil }
        return Sweep(name, every: configuration.pruneInterval) {
            var total = 0
            defer {
                if total > 0 {
                    logger.info("old records removed", metadata: ["table": "\(table)", "rows": "\(total)"])
                }
            }
            while true {
                // Until there is nothing: a batch may be less than asked for where somebody else has rows locked.
                let removed = try await remove(age)
                guard removed > 0 else { return }
                total += removed
                metrics.prunedRows.increment(table, by: Double(removed))
            }
        }
    }
}
