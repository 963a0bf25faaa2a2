package import Telemetry

/// What a worker counts, beside the calls of its providers (``MeasuredProvider``).
package struct WorkerMetrics: Sendable {
    let sweepSeconds: MetricFamily
    let prunedRows: MetricFamily

    package init(in registry: MetricRegistry) {
        sweepSeconds = registry.histogram(
            "martlet_sweep_seconds", help: "Rounds of a worker's sweeps, by how they ended.",
            labels: ["sweep", "outcome"], bounds: MetricFamily.secondsBounds)
        prunedRows = registry.counter(
            "martlet_pruned_rows_total", help: "Rows removed because of their age.", labels: ["table"])
    }
}
