package import Foundation

/// Times, lengths and sizes as people read them.
package enum Quantity {
    /// A moment of the API (ISO 8601); `nil` if it is none.
    package static func moment(_ text: String) -> Date? {
        (try? Date.ISO8601FormatStyle(includingFractionalSeconds: true).parse(text))
            ?? (try? Date.ISO8601FormatStyle().parse(text))
    }

    /// How far it is from now: `5 min ago`, `in 3 h`, `now`.
    static func distance(_ moment: Date, from now: Date) -> String {
        let seconds = moment.timeIntervalSince(now)
        if abs(seconds) < 1 { return "now" }
        let length = duration(seconds: abs(seconds).rounded())
        return seconds < 0 ? "\(length) ago" : "in \(length)"
    }

    /// `2026-11-26 01:32:04 UTC, 5 min ago`.
    static func full(_ moment: Date, now: Date) -> String {
        let text = moment.formatted(Date.ISO8601FormatStyle(dateTimeSeparator: .space, timeZone: .gmt))
        return "\(text.replacing("Z", with: "")) UTC, \(distance(moment, from: now))"
    }

    /// In the largest unit that it fills: `850 ms`, `1.2 s`, `90 s`, `12 min`, `3 h`, `2 d`.
    static func duration(seconds: Double) -> String {
        switch seconds {
        case ..<1: "\(Int((seconds * 1_000).rounded())) ms"
        case ..<10 where seconds != seconds.rounded(): String(format: "%.1f s", seconds)
        case ..<120: whole(seconds, "s")
        case ..<7_200: whole(seconds / 60, "min")
        case ..<172_800: whole(seconds / 3_600, "h")
        default: whole(seconds / 86_400, "d")
        }
    }

    private static func whole(_ count: Double, _ unit: String) -> String { "\(Int(count.rounded())) \(unit)" }

    /// `512 MB`, `4 GB`, `1.5 GB`.
    static func megabytes(_ count: Int) -> String {
        count < 1_024 ? "\(count) MB" : String(format: "%g GB", (Double(count) / 1_024 * 10).rounded() / 10)
    }
}
