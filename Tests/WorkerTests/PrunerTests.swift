import Fleet
import Foundation
import PostgreSQL
import Providers
import Telemetry
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct PrunerTests {
        /// As many lines of the audit log of this age.
        private static func fill(_ bench: Bench, _ count: Int, days: Int) async throws {
            try await bench.pool.execute(
                """
                INSERT INTO environment_audit_log (actor_kind, actor_id, action, created_at)
                SELECT 'system', 'test', \("of.\(days)"), now() - make_interval(days => \(days))
                FROM generate_series(1, \(count))
                """)
        }

        private static func pruner(
            _ bench: Bench, _ registry: MetricRegistry = MetricRegistry(),
            _ change: (inout WorkerConfiguration) -> Void = { _ in }
        ) -> Pruner {
            var configuration = WorkerConfiguration(name: "w")
            change(&configuration)
            return Pruner(
                fleet: bench.fleet, configuration: configuration, metrics: WorkerMetrics(in: registry), logger: quiet)
        }

        @Test func aRoundRemovesAllThatIsOldInMoreThanOneBatchAndCountsIt() async throws {
            try await withBench { bench in
                let vm = try await bench.vm(.stopped)
                try await Self.fill(bench, Pruner.batch.small * 2 + 1, days: 401)
                try await Self.fill(bench, 3, days: 399)
                try await bench.pool.execute(
                    """
                    UPDATE environment_runs SET started_at = now() - interval '402 days',
                        stopped_at = now() - interval '401 days' WHERE environment_id = \(vm.id)
                    """)
                let registry = MetricRegistry()
                for sweep in Self.pruner(bench, registry).sweeps { try await sweep.round() }
                var filter = AuditFilter()
                filter.action = "of."
                #expect(try await bench.fleet.audit.search(filter).map(\.action) == ["of.399", "of.399", "of.399"])
                let figures = await registry.exposition()
                let count = Pruner.batch.small * 2 + 1
                #expect(figures.contains("martlet_pruned_rows_total{table=\"environment_audit_log\"} \(count)\n"))
                #expect(figures.contains("martlet_pruned_rows_total{table=\"environment_runs\"} 1\n"))
            }
        }

        @Test func aWorkerPrunesByItself() async throws {
            try await withBench { bench in
                try await Self.fill(bench, 2, days: 3)
                var configuration = WorkerConfiguration(name: "w")
                configuration.electionInterval = .milliseconds(5)
                configuration.auditKept = .seconds(2 * 86_400)
                let worker = WorkerService(
                    fleet: bench.fleet, providers: ProviderSet(only: bench.provider), configuration: configuration,
                    logger: quiet)
                var filter = AuditFilter()
                filter.action = "of."
                try await beside({ try await worker.run() }) {
                    try await eventually(describing: "old lines removed") {
                        try await bench.fleet.audit.search(filter).isEmpty
                    }
                }
            }
        }

        @Test func whatIsKeptForEverIsNotLookedAt() async throws {
            try await withBench { bench in
                try await Self.fill(bench, 2, days: 10_000)
                let pruner = Self.pruner(bench) {
                    $0.auditKept = nil
                    $0.executionsKept = nil
                    $0.uptimeKept = nil
                }
                #expect(pruner.sweeps.map(\.name) == ["answers", "sessions"])
                for sweep in pruner.sweeps { try await sweep.round() }
                var filter = AuditFilter()
                filter.action = "of."
                #expect(try await bench.fleet.audit.search(filter).count == 2)
            }
        }
    }
}
