import Foundation

/// How jobs are made and worked on.
package struct WorkerSettings: Sendable, Hashable {
    /// A figure for each of the two kinds of jobs.
    package struct Both<Figure: Sendable & Hashable>: Sendable, Hashable {
        package var provision: Figure
        package var control: Figure

        package init(provision: Figure, control: Figure) {
            self.provision = provision
            self.control = control
        }
    }

    package var provisionConcurrency = 2
    package var controlConcurrency = 5
    /// Gateways need these two as well: they stand in each job from its making on.
    package var jobAttempts = Both(provision: 3, control: 2)
    package var jobBackoff = Both(provision: Duration.seconds(5), control: .seconds(2))
    package var sweepInterval = Duration.seconds(15)
    package var reconcileInterval = Duration.seconds(30)
    package var pruneInterval = Duration.seconds(3_600)
    /// For how long records are kept; nil: for ever.
    package var executionRetention: Duration? = .seconds(90 * 86_400)
    package var auditRetention: Duration? = .seconds(400 * 86_400)
    package var uptimeRetention: Duration? = .seconds(400 * 86_400)
    package var drainTimeout = Duration.seconds(30)

    init(_ layers: [SettingsLayer]) throws(OperatorError) {
        func first<Value>(_ key: KeyPath<WorkerLayer, Value?>) -> Value? {
            for layer in layers { if let value = layer.worker[keyPath: key] { return value } }
            return nil
        }
        if let slots = first(\.provisionConcurrency) {
            provisionConcurrency = try Self.count(slots, "A provision concurrency", 1...256)
        }
        if let slots = first(\.controlConcurrency) {
            controlConcurrency = try Self.count(slots, "A control concurrency", 1...256)
        }
        if let text = first(\.jobAttempts) {
            let given = try Self.both(text, "job attempts", example: "4', or 'provision=3,control=2") { Int($0) }
            if let count = given.provision {
                jobAttempts.provision = try Self.count(count, "A number of job attempts", 1...100)
            }
            if let count = given.control {
                jobAttempts.control = try Self.count(count, "A number of job attempts", 1...100)
            }
        }
        if let text = first(\.jobBackoff) {
            let given = try Self.both(text, "job backoff", example: "5', or 'provision=5,control=2") { Double($0) }
            if let seconds = given.provision {
                jobBackoff.provision = try Self.duration(seconds, "A job backoff", 0.001...3_600)
            }
            if let seconds = given.control {
                jobBackoff.control = try Self.duration(seconds, "A job backoff", 0.001...3_600)
            }
        }
        if let seconds = first(\.sweepInterval) {
            sweepInterval = try Self.duration(seconds, "A sweep interval", 0.1...3_600)
        }
        if let seconds = first(\.reconcileInterval) {
            reconcileInterval = try Self.duration(seconds, "A reconcile interval", 0.1...86_400)
        }
        if let seconds = first(\.pruneInterval) {
            pruneInterval = try Self.duration(seconds, "A prune interval", 1...604_800)
        }
        if let text = first(\.executionRetention) {
            executionRetention = try Self.retention(text, "of executions", atLeast: 1)
        }
        if let text = first(\.auditRetention) {
            auditRetention = try Self.retention(text, "of the audit log", atLeast: 1)
        }
        if let text = first(\.uptimeRetention) {
            // The hours of a month are counted from them.
            uptimeRetention = try Self.retention(text, "of the times VMs ran", atLeast: 32)
        }
        if let seconds = first(\.drainTimeout) {
            drainTimeout = try Self.duration(seconds, "A drain timeout", 0.1...86_400)
        }
    }

    // MARK: Reading

    private static func count(
        _ value: Int, _ what: String, _ range: ClosedRange<Int>
    ) throws(OperatorError) -> Int {
        guard range.contains(value) else {
            throw outOfRange("\(what) of \(value)", "\(range.lowerBound)", "\(range.upperBound)")
        }
        return value
    }

    private static func duration(
        _ seconds: Double, _ what: String, _ range: ClosedRange<Double>
    ) throws(OperatorError) -> Duration {
        guard range.contains(seconds) else {
            throw outOfRange("\(what) of \(seconds) s", number(range.lowerBound), number(range.upperBound))
        }
        return .milliseconds(Int((seconds * 1_000).rounded()))
    }

    /// Whole days; `0` and `never`: for ever.
    private static func retention(
        _ text: String, _ what: String, atLeast least: Int
    ) throws(OperatorError) -> Duration? {
        if text == "never" || text == "0" { return nil }
        guard let days = Int(text), (least...36_500).contains(days) else {
            throw OperatorError(
                .invalidSetting, "'\(text)' is no retention \(what).",
                hint: "Give \(least) to 36500 days, or 'never' to remove nothing.")
        }
        return .seconds(days * 86_400)
    }

    private static func number(_ value: Double) -> String {
        Int(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func outOfRange(_ what: String, _ least: String, _ most: String) -> OperatorError {
        OperatorError(.invalidSetting, "\(what) is out of range.", hint: "Give \(least) to \(most).")
    }

    /// `4`, or `provision=3,control=2`, or one of the two.
    private static func both<Figure>(
        _ text: String, _ what: String, example: String, _ read: (String) -> Figure?
    ) throws(OperatorError) -> (provision: Figure?, control: Figure?) {
        if let figure = read(text) { return (figure, figure) }
        var given: [String: Figure] = [:]
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        for part in parts {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false)
                .map { $0.trimmingCharacters(in: .whitespaces) }
            guard pair.count == 2, ["provision", "control"].contains(pair[0]), given[pair[0]] == nil,
                let figure = read(pair[1])
            else {
                throw OperatorError(
                    .invalidSetting, "'\(text)' is no \(what).", hint: "Give one for all, '\(example)'.")
            }
            given[pair[0]] = figure
        }
        return (given["provision"], given["control"])
    }
}

/// What one source says of them.
package struct WorkerLayer: Sendable {
    package var provisionConcurrency: Int?
    package var controlConcurrency: Int?
    package var jobAttempts: String?
    package var jobBackoff: String?  // seconds
    package var sweepInterval: Double?  // seconds
    package var reconcileInterval: Double?  // seconds
    package var pruneInterval: Double?  // seconds
    // Days, or `never`.
    package var executionRetention: String?
    package var auditRetention: String?
    package var uptimeRetention: String?
    package var drainTimeout: Double?  // seconds

    package init() {}
}
