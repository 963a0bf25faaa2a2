package import Foundation

/// How text for people is dressed: in colours or not, and what time it is for those who read it.
package struct TextStyle: Sendable {
    package var hasColours: Bool
    package var now: Date

    package init(hasColours: Bool, now: Date = .now) {
        self.hasColours = hasColours
        self.now = now
    }

    /// Colours on a terminal only, and not where `NO_COLOR` is set (https://no-color.org) or the terminal has none.
    package static func standard(
        for stream: StandardOutput.Stream, environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> TextStyle {
        let isUnwanted = environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        return TextStyle(hasColours: isatty(stream.rawValue) == 1 && !isUnwanted && environment["TERM"] != "dumb")
    }

    /// The text in the tone's colour.
    package func dressed(_ text: String, _ tone: Tone) -> String {
        guard hasColours, let colour = tone.colour, !text.isEmpty else { return text }
        return "\u{1B}[\(colour)m\(text)\u{1B}[0m"
    }
}

/// What a word means for whoever looks after things.
package enum Tone: Sendable {
    case plain
    case good
    case moving  // on its way to something else
    case bad
    case quiet  // over, or at rest

    /// Of a state of anything the API knows: environments, users, hosts, queues, jobs, tokens.
    package init(state: String) {
        self =
            switch state {
            case "running", "ready", "active", "valid", "completed", "success": .good
            case "requested", "pending", "provisioning", "starting", "stopping", "destroying", "draining", "cordoned",
                "paused", "delayed", "waiting", "prioritized", "maintenance":
                .moving
            case "error", "failed", "lost", "suspended", "stalled": .bad
            case "stopped", "destroyed", "revoked", "expired", "removed": .quiet
            default: .plain
            }
    }

    /// As in ECMA-48, "select graphic rendition".
    fileprivate var colour: Int? {
        switch self {
        case .plain: nil
        case .good: 32
        case .moving: 33
        case .bad: 31
        case .quiet: 2
        }
    }
}
