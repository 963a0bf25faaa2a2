import Synchronization

/// One metric with all its combinations of labels: a counter, or with bounds a histogram.
package final class MetricFamily: Sendable {
    /// Combinations of labels that are kept apart.
    package static let maximumSeries = 1_000

    private struct Series {
        var count: UInt64 = 0
        var sum = 0.0
        var buckets: [UInt64] = []  // not cumulative; the last is beyond all bounds
    }

    package let name: String
    private let help: String
    private let labels: [String]
    private let bounds: [Double]?
    private let series = Mutex<[[String]: Series]>([:])

    init(name: String, help: String, labels: [String], bounds: [Double]?) {
        precondition(bounds.map { $0 == $0.sorted() } ?? true, "the bounds of \(name) do not ascend")
        self.name = name
        self.help = help
        self.labels = labels
        self.bounds = bounds
        if labels.isEmpty { change([]) { _ in } }  // is seen from the beginning, as zero
    }

    /// Counts once more, or by `amount`, at these values of the labels, in the order they were declared in.
    package func increment(_ values: String..., by amount: Double = 1) {
        change(values) { $0.sum += amount }
    }

    /// Takes a value into a histogram.
    package func observe(_ value: Double, _ values: String...) {
        guard let bounds else { preconditionFailure("\(name) is no histogram") }
        change(values) { series in
            series.count += 1
            series.sum += value
            series.buckets[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        }
    }

    package func observe(_ duration: Duration, _ values: String...) {
        guard let bounds else { preconditionFailure("\(name) is no histogram") }
        let value = duration / .seconds(1)
        change(values) { series in
            series.count += 1
            series.sum += value
            series.buckets[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        }
    }

    private func change(_ values: [String], _ body: (inout Series) -> Void) {
        precondition(values.count == labels.count, "\(name) has the labels \(labels)")
        series.withLock { series in
            let isKnown = series[values] != nil || series.count < Self.maximumSeries
            let key = isKnown ? values : values.map { _ in "other" }
            body(&series[key, default: Series(buckets: bounds.map { Array(repeating: 0, count: $0.count + 1) } ?? [])])
        }
    }

    func write(to text: inout Exposition) {
        let series = series.withLock { $0 }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        guard !series.isEmpty else { return }
        text.begin(name, help, bounds == nil ? "counter" : "histogram")
        for (values, figures) in series {
            let pairs = Array(zip(labels, values))
            guard let bounds else {
                text.line(name, pairs, figures.sum)
                continue
            }
            var total: UInt64 = 0
            for (bound, count) in zip(bounds, figures.buckets) {
                total += count
                text.line("\(name)_bucket", pairs + [("le", Exposition.number(bound))], Double(total))
            }
            text.line("\(name)_bucket", pairs + [("le", "+Inf")], Double(figures.count))
            text.line("\(name)_sum", pairs, figures.sum)
            text.line("\(name)_count", pairs, Double(figures.count))
        }
    }
}

extension MetricFamily {
    /// From a millisecond to five minutes: what calls, starts and provider operations take, in seconds.
    package static let secondsBounds: [Double] = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
    ]
}

/// Text in the making (Prometheus, "Text-based format").
struct Exposition {
    private(set) var text = ""

    mutating func begin(_ name: String, _ help: String, _ type: String) {
        text += "# HELP \(name) \(help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n"
        text += "# TYPE \(name) \(type)\n"
    }

    mutating func line(_ name: String, _ labels: [(String, String)], _ value: Double) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0)=\"\(Self.escaped($1))\"" }.joined(separator: ",") + "}"
        }
        text += " \(Self.number(value))\n"
    }

    /// Gauges, those of one name together.
    mutating func write(_ samples: [MetricRegistry.Sample]) {
        var written: Set<String> = []
        for sample in samples where written.insert(sample.name).inserted {
            begin(sample.name, sample.help, "gauge")
            for other in samples where other.name == sample.name { line(other.name, other.labels, other.value) }
        }
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if let whole = Int64(exactly: value) { return String(whole) }
        return "\(value)"
    }

    private static func escaped(_ value: String) -> String {
        value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
