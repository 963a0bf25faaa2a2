import Foundation
import Synchronization

/// The screen a server command runs on: progress goes to standard output, the log to standard error, and where both
/// are one terminal they do not write over each other.
package final class Console: Sendable {
    package enum Mode: Sendable {
        case live  // a terminal: one line that changes until its step is done
        case plain  // a line for each step
        case json  // an object for each step, for programs
    }

    package let mode: Mode
    private let screen = Mutex(Screen())  // also makes writes to the two descriptors one after another

    private struct Screen {
        var step: Step?
        var drawn: String?
    }

    package init(mode: Mode) { self.mode = mode }

    package static func standard(json: Bool) -> Console {
        Console(mode: json ? .json : isatty(1) == 1 ? .live : .plain)
    }

    /// Runs `body`; on a terminal the step under way is drawn again and again meanwhile, so that it is seen to live.
    package func withAnimation<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            if mode == .live {
                group.addTask {
                    while true {
                        self.redraw()
                        try await Task.sleep(for: .milliseconds(100))  // ten pictures a second
                    }
                }
            }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// Begins a step; one at a time is under way. What was under way is taken to be done.
    package func begin(_ name: String) {
        finish(.done)
        screen.withLock { $0.step = Step(name: name) }
        redraw()
    }

    /// Says what is being done in the step under way, or what was done.
    package func detail(_ text: String) {
        screen.withLock { $0.step?.detail = text }
        redraw()
    }

    package enum Outcome: String, Sendable { case done, failed }

    /// Ends the step under way, if there is one.
    package func finish(_ outcome: Outcome, _ detail: String? = nil) {
        let step: Step? = screen.withLock { screen in
            defer { screen.step = nil }
            return screen.step
        }
        guard var step else { return }
        if let detail { step.detail = detail }
        let elapsed = step.startedAt.duration(to: .now)
        event(
            StepEvent(
                step: step.name, state: outcome.rawValue, detail: step.detail,
                durationMs: Int(elapsed / .milliseconds(1))))
        let mark = outcome == .done ? "\u{2713}" : "\u{2717}"
        redraw()
        print("\(mark) \(step.name)\(step.detail.isEmpty ? "" : ": \(step.detail)") (\(seconds(elapsed)))")
    }

    private struct Step {
        let name: String
        var detail = ""
        let startedAt = ContinuousClock.now

        var line: String {
            let elapsed = startedAt.duration(to: .now)
            let frames = Array("\u{280B}\u{2819}\u{2839}\u{2838}\u{283C}\u{2834}\u{2826}\u{2827}\u{2807}\u{280F}")
            let frame = frames[Int(elapsed / .milliseconds(100)) % frames.count]
            let time = elapsed > .seconds(1) ? " \(seconds(elapsed))" : ""
            return "\(frame) \(name)\(detail.isEmpty ? "" : ": \(detail)")\(time)"
        }
    }

    private struct StepEvent: Encodable {
        let event = "step"
        let step: String
        let state: String
        let detail: String
        let durationMs: Int
    }

    /// Writes lines for people to standard output; nothing in JSON mode.
    package func print(_ text: String) {
        if mode != .json { write(text + "\n", to: 1) }
    }

    /// Writes an object for programs to standard output; nothing in the other modes.
    package func event(_ event: some Encodable) {
        guard mode == .json else { return }
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(event) else { return }
        write(String(decoding: data, as: UTF8.self) + "\n", to: 1)
    }

    /// Writes whole lines to standard error, for the log.
    func writeLog(_ lines: String) { write(lines, to: 2) }

    private func redraw() {
        guard mode == .live else { return }
        screen.withLock { screen in
            let line = screen.step.map { String($0.line.prefix(Self.columns - 1)) }
            guard screen.drawn != nil || line != nil else { return }
            screen.drawn = line
            Self.writeAll("\r\u{1B}[K" + (line ?? ""), to: 1)
        }
    }

    /// How many characters a line of the terminal holds: a longer one would wrap and could not be taken back.
    private static var columns: Int {
        var size = winsize()
        guard ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
        return Int(size.ws_col)
    }

    private func write(_ text: String, to descriptor: Int32) {
        screen.withLock { screen in
            let isOverStep = screen.drawn != nil && isatty(descriptor) == 1
            if isOverStep { Self.writeAll("\r\u{1B}[K", to: 1) }
            Self.writeAll(text, to: descriptor)
            if isOverStep, let line = screen.drawn { Self.writeAll(line, to: 1) }
        }
    }

    /// Gives up on an error: there is nobody left to tell.
    private static func writeAll(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return }
        }
    }
}

private func seconds(_ duration: Duration) -> String {
    String(format: "%.1f s", duration / .seconds(1))
}
