import Foundation

/// The fleet at a glance, for people.
package enum FleetReport {
    package static func text(_ stats: JSONValue, _ style: TextStyle) -> String {
        var lines: [(String, String)] = [
            ("environments", total(stats, "environments", ["environmentsByState"])),
            ("by provider", counts(stats["environmentsByProvider"])), ("by tier", counts(stats["environmentsByTier"])),
            ("users", total(stats, "users", ["usersByTier"]) + suspended(stats)),
            (
                "this month",
                (stats["runtimeHoursThisMonth"]?.number).map { String(format: "%.1f h of runtime", $0) } ?? ""
            ),
            ("last hour", executions(stats["executionsLastHour"])),
            ("per minute", sparkline(stats["executionsPerMinute"]?.values.compactMap { $0["count"]?.integer } ?? [])),
            ("hosts", counts(stats["hostsByState"])), ("on hosts", use(stats)),
        ]
        lines.removeAll { $0.1.isEmpty }
        let width = (lines.map(\.0.count).max() ?? 0) + 2
        let glance = lines.map {
            $0.0.padding(toLength: width, withPad: " ", startingAt: 0) + TerminalText.visible($0.1)
        }
        let queues = stats["queues"].map { "\n" + Resource.queue.table(of: $0.values, style) }
        return (glance + [queues].compactMap(\.self)).joined(separator: "\n")
    }

    /// `12: 9 stopped, 3 running`.
    private static func total(_ stats: JSONValue, _ count: String, _ parts: [String]) -> String {
        let count = stats[count]?.text ?? "0"
        let detail = parts.map { counts(stats[$0]) }.filter { !$0.isEmpty }.joined(separator: "; ")
        return detail.isEmpty ? count : "\(count): \(detail)"
    }

    /// The largest first.
    private static func counts(_ value: JSONValue?) -> String {
        (value?.fields ?? [:]).compactMap { name, count in count.integer.map { (name, $0) } }.filter { $0.1 > 0 }
            .sorted { ($1.1, $0.0) < ($0.1, $1.0) }.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
    }

    private static func suspended(_ stats: JSONValue) -> String {
        stats["suspendedUsers"]?.integer.flatMap { $0 > 0 ? "; \($0) suspended" : nil } ?? ""
    }

    private static func executions(_ hour: JSONValue?) -> String {
        guard let hour else { return "" }
        let total = hour["byState"]?.fields.values.compactMap(\.integer).reduce(0, +) ?? 0
        guard total > 0 else { return "no runs" }
        func time(_ field: String) -> String? {
            (hour[field]?.number).map { Quantity.duration(seconds: $0 / 1_000) }
        }
        let times = [time("medianMs").map { "half within \($0)" }, time("percentile95Ms").map { "95 % within \($0)" }]
        return (["\(total) \(total == 1 ? "run" : "runs"): \(counts(hour["byState"]))"] + times.compactMap(\.self))
            .joined(separator: ", ")
    }

    private static func use(_ stats: JSONValue) -> String {
        guard let capacity = stats["hostCapacity"], let vcpus = capacity["vcpus"]?.integer, vcpus > 0 else { return "" }
        let used = stats["hostUsed"] ?? .null
        func of(_ name: String, _ show: (Int) -> String) -> String {
            "\(show(used[name]?.integer ?? 0)) of \(show(capacity[name]?.integer ?? 0))"
        }
        return "\(of("vcpus") { "\($0)" }) vCPU, \(of("memoryMb", Quantity.megabytes)) memory, "
            + "\(of("diskMb", Quantity.megabytes)) disk"
    }

    /// One block a number, the highest for the largest; nothing where all are 0.
    static func sparkline(_ counts: [Int]) -> String {
        guard let most = counts.max(), most > 0 else { return "" }
        let blocks = Array("\u{2581}\u{2582}\u{2583}\u{2584}\u{2585}\u{2586}\u{2587}\u{2588}")
        let line = counts.map { $0 == 0 ? " " : String(blocks[min(7, $0 * 8 / (most + 1))]) }.joined()
        return "\(line) at most \(most)"
    }
}
