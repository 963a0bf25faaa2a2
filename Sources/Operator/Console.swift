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
    private let statusLine = Mutex<String?>(nil)  // what is drawn now; guards both descriptors

    package init(mode: Mode) { self.mode = mode }

    package static func standard(json: Bool) -> Console {
        Console(mode: json ? .json : isatty(1) == 1 ? .live : .plain)
    }

    /// Does one step of a start and shows that it is being done, for how long, and how it went.
    package func step<Result: Sendable>(
        _ name: String, _ body: (Step) async throws -> Result
    ) async throws -> Result {
        let step = Step(name: name, console: self)
        let startedAt = ContinuousClock.now
        do {
            let result = try await withThrowingTaskGroup(of: Void.self) { group in
                if mode == .live {
                    group.addTask {
                        while true {
                            self.draw(step.line(after: startedAt.duration(to: .now)))
                            try await Task.sleep(for: .milliseconds(100))  // ten pictures a second
                        }
                    }
                }
                defer { group.cancelAll() }
                return try await body(step)
            }
            finish(step, mark: "\u{2713}", state: "done", after: startedAt.duration(to: .now))
            return result
        } catch {
            finish(step, mark: "\u{2717}", state: "failed", after: startedAt.duration(to: .now))
            throw error
        }
    }

    /// One step under way.
    package final class Step: Sendable {
        let name: String
        private let detail = Mutex("")
        private let console: Console

        init(name: String, console: Console) {
            self.name = name
            self.console = console
        }

        /// Says what is being done, or in the end what was done.
        package func say(_ text: String) { detail.withLock { $0 = text } }

        var lastDetail: String { detail.withLock { $0 } }

        func line(after elapsed: Duration) -> String {
            let frames = Array("\u{280B}\u{2819}\u{2839}\u{2838}\u{283C}\u{2834}\u{2826}\u{2827}\u{2807}\u{280F}")
            let frame = frames[Int(elapsed / .milliseconds(100)) % frames.count]
            let time = elapsed > .seconds(1) ? " \(seconds(elapsed))" : ""
            return "\(frame) \(name)\(lastDetail.isEmpty ? "" : ": \(lastDetail)")\(time)"
        }
    }

    /// Writes lines for people to standard output; nothing in JSON mode.
    package func print(_ text: String) {
        if mode != .json { write(text + "\n", to: 1) }
    }

    /// Writes an object for programs to standard output; nothing in the other modes.
    package func event(_ event: some Encodable) {
        guard mode == .json else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(event) else { return }
        write(String(decoding: data, as: UTF8.self) + "\n", to: 1)
    }

    /// Writes whole lines to standard error, for the log.
    func writeLog(_ lines: String) { write(lines, to: 2) }

    private struct StepEvent: Encodable {
        let event = "step"
        let step: String
        let state: String
        let detail: String
        let durationMs: Int
    }

    private func finish(_ step: Step, mark: String, state: String, after elapsed: Duration) {
        let detail = step.lastDetail
        event(
            StepEvent(step: step.name, state: state, detail: detail, durationMs: Int(elapsed / .milliseconds(1))))
        draw(nil)
        print("\(mark) \(step.name)\(detail.isEmpty ? "" : ": \(detail)") (\(seconds(elapsed)))")
    }

    private func draw(_ line: String?) {
        guard mode == .live else { return }
        statusLine.withLock { drawn in
            guard drawn != nil || line != nil else { return }
            drawn = line
            Self.writeAll("\r\u{1B}[K" + (line ?? ""), to: 1)
        }
    }

    private func write(_ text: String, to descriptor: Int32) {
        statusLine.withLock { drawn in
            let isOverStatus = drawn != nil && mode == .live && isatty(descriptor) == 1
            if isOverStatus { Self.writeAll("\r\u{1B}[K", to: 1) }
            Self.writeAll(text, to: descriptor)
            if isOverStatus, let drawn { Self.writeAll(drawn, to: 1) }
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
