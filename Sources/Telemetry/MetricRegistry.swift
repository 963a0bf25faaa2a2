import Synchronization

/// The figures of one process, in Prometheus' text format 0.0.4.
///
/// Counters and histograms are told as things happen: one lock and a few additions. Gauges are asked for when somebody
/// looks, each collector at most once in ``freshness`` and for at most ``patience``, so a scrape is cheap for the
/// servers behind it and always ends. A collector that fails leaves its gauges out, which is seen in
/// `martlet_collector_up`.
///
/// A family holds at most ``MetricFamily/maximumSeries`` combinations of labels; what comes beyond is counted under
/// `other`. Nothing a client may choose freely belongs into a label.
package final class MetricRegistry: Sendable {
    /// A gauge's value at one combination of labels.
    package struct Sample: Sendable {
        package let name: String
        package let help: String
        package let labels: [(String, String)]
        package let value: Double

        package init(_ name: String, help: String, labels: [(String, String)] = [], _ value: Double) {
            self.name = name
            self.help = help
            self.labels = labels
            self.value = value
        }
    }

    private struct Collector {
        let name: String
        let freshness: Duration
        let collect: @Sendable () async throws -> [Sample]
        var last: (samples: [Sample], at: ContinuousClock.Instant, isUp: Bool)?
        var isUnderWay = false
    }

    private struct State {
        var families: [MetricFamily] = []
        var collectors: [Collector] = []
    }

    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    private let state = Mutex(State())
    private let freshness: Duration
    private let patience: Duration

    package init(freshness: Duration = .seconds(5), patience: Duration = .seconds(2)) {
        self.freshness = freshness
        self.patience = patience
    }

    /// A figure that only grows.
    package func counter(_ name: String, help: String, labels: [String] = []) -> MetricFamily {
        add(MetricFamily(name: name, help: help, labels: labels, bounds: nil))
    }

    /// How often each range of values was seen; `bounds` are the upper ends, ascending, in the unit of the name.
    package func histogram(_ name: String, help: String, labels: [String] = [], bounds: [Double]) -> MetricFamily {
        add(MetricFamily(name: name, help: help, labels: labels, bounds: bounds))
    }

    /// Has `collect` asked when somebody looks. What it answers is kept for ``freshness``, or longer if it is dear.
    package func collect(
        _ name: String, freshness: Duration = .zero, _ collect: @escaping @Sendable () async throws -> [Sample]
    ) {
        let collector = Collector(name: name, freshness: max(freshness, self.freshness), collect: collect)
        state.withLock { $0.collectors.append(collector) }
    }

    private func add(_ family: MetricFamily) -> MetricFamily {
        state.withLock { state in
            precondition(!state.families.contains { $0.name == family.name }, "the metric \(family.name) is made twice")
            state.families.append(family)
        }
        return family
    }

    // MARK: Looking

    /// All there is, as Prometheus reads it. Takes at most about ``patience``.
    package func exposition() async -> String {
        var text = Exposition()
        for family in state.withLock({ $0.families }) { family.write(to: &text) }
        text.write(await samples())
        return text.text
    }

    private func samples() async -> [Sample] {
        let count = state.withLock { $0.collectors.count }
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<count { group.addTask { await self.refresh(index) } }
        }
        return state.withLock { state in
            state.collectors.flatMap { collector in
                (collector.last?.samples ?? []) + [
                    Sample(
                        "martlet_collector_up", help: "1 if the collector's last round succeeded.",
                        labels: [("collector", collector.name)], collector.last?.isUp == true ? 1 : 0)
                ]
            }
        }
    }

    /// One look at a time: whoever comes meanwhile gets what the last has found.
    private func refresh(_ index: Int) async {
        let collect: (@Sendable () async throws -> [Sample])? = state.withLock { state in
            let collector = state.collectors[index]
            if collector.isUnderWay { return nil }
            if let last = collector.last, .now - last.at < collector.freshness { return nil }
            state.collectors[index].isUnderWay = true
            return collector.collect
        }
        guard let collect else { return }
        let samples = try? await withThrowingTaskGroup(of: [Sample].self) { [patience] group in
            group.addTask { try await collect() }
            group.addTask {
                try await Task.sleep(for: patience)
                throw CancellationError()
            }
            defer { group.cancelAll() }
            return try await group.next()
        }
        state.withLock { state in
            state.collectors[index].isUnderWay = false
            state.collectors[index].last = (samples ?? [], .now, samples != nil)
        }
    }
}
