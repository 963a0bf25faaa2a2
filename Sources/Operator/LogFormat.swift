import Foundation
package import Logging
import Synchronization

/// How the log is written: for people, or one JSON object a line. Automatic is for people on a terminal.
package enum LogFormat: String, CaseIterable, Sendable {
    case automatic = "auto"
    case human, json

    /// Makes this the log of the whole process. Call once, before the first `Logger` is made.
    package func install(level: Logger.Level, console: Console) {
        let isTerminal = isatty(2) == 1
        let isHuman = self == .human || (self == .automatic && isTerminal)
        LoggingSystem.bootstrap { label in
            LineLogHandler(
                label: label, isHuman: isHuman, isColored: isHuman && isTerminal, console: console, logLevel: level)
        }
    }
}

/// Writes each message as one line with all its metadata.
struct LineLogHandler: LogHandler {
    let label: String
    let isHuman: Bool
    let isColored: Bool
    let console: Console
    var logLevel: Logger.Level
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let given = event.metadata { all.merge(given) { _, new in new } }
        let time = timestamp()
        let line =
            isHuman
            ? human(event.level, "\(event.message)", all, time) : json(event.level, "\(event.message)", all, time)
        console.writeLog(line + "\n")
    }

    private func human(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ time: String) -> String
    {
        let color =
            switch level {
            case .trace, .debug: "\u{1B}[2m"
            case .info, .notice: ""
            case .warning: "\u{1B}[33m"
            case .error, .critical: "\u{1B}[31m"
            }
        let word = level.rawValue.uppercased().padding(toLength: 8, withPad: " ", startingAt: 0)
        let clock = time.dropFirst(11).prefix(12)
        let pairs = metadata.sorted { $0.key < $1.key }.map { " \($0.key)=\(Self.oneLine("\($0.value)"))" }.joined()
        let text = "\(clock) \(word) \(Self.oneLine(message))\(pairs)"
        return isColored && !color.isEmpty ? "\(color)\(text)\u{1B}[0m" : text
    }

    private func json(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata, _ time: String) -> String {
        var fields = metadata.mapValues { "\($0)" }
        fields["time"] = time
        fields["level"] = level.rawValue
        fields["logger"] = label
        fields["message"] = message
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(fields)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    /// Control characters written out: what a program or peer said must not move the cursor or forge a line.
    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) }) else {
            return text
        }
        return text.unicodeScalars.map { scalar in
            scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
        }.joined()
    }

    private func timestamp() -> String {
        Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
