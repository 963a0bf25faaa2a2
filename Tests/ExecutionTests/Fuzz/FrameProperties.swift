import Foundation
import TestSupport

@testable import Execution

/// What has to hold for any bytes from a runner: however they are cut, the same frames come out, which are those that
/// the lengths say; and an exit reads as a decoder reads it.
enum FrameProperties {
    /// The first byte says how the rest is cut.
    static func check(_ bytes: [UInt8]) throws {
        guard let step = bytes.first else { return }
        let stream = Array(bytes.dropFirst())
        let whole = decode(stream, by: max(1, stream.count))
        try hold(whole == decode(stream, by: Int(step) + 1), "Cut in pieces it has other frames.")
        try hold(whole == reference(stream), "It has other frames than the lengths say.")
        for frame in whole.frames where frame.kind == .exit { try checkExit(frame.payload) }
        try checkExit(stream)
    }

    private struct Frame: Equatable {
        let kind: RunnerFrame.Kind
        let payload: [UInt8]
    }

    private struct Outcome: Equatable {
        var frames: [Frame] = []
        var isBroken = false
    }

    private static func decode(_ stream: [UInt8], by step: Int) -> Outcome {
        var (decoder, outcome) = (RunnerFrameDecoder(), Outcome())
        for start in stride(from: 0, to: stream.count, by: step) {
            decoder.append(Array(stream[start..<min(start + step, stream.count)]))
            do {
                while let (kind, payload) = try decoder.next() {
                    outcome.frames.append(Frame(kind: kind, payload: payload))
                }
            } catch {
                outcome.isBroken = true
                return outcome
            }
        }
        return outcome
    }

    private static func reference(_ stream: [UInt8]) -> Outcome {
        var outcome = Outcome()
        var rest = stream[...]
        while rest.count >= 5 {
            let header = Array(rest.prefix(5))
            let length = Int(header[1]) + Int(header[2]) * 256 + Int(header[3]) * 65_536 + Int(header[4]) * 16_777_216
            guard (16...21).contains(header[0]), length <= 1_048_576, let kind = RunnerFrame.Kind(rawValue: header[0])
            else {
                outcome.isBroken = true
                return outcome
            }
            guard rest.count >= 5 + length else { break }
            outcome.frames.append(Frame(kind: kind, payload: Array(rest.dropFirst(5).prefix(length))))
            rest = rest.dropFirst(5 + length)
        }
        return outcome
    }

    /// Foundation takes a text for UTF-16 or UTF-32 by NULs, and passes over a mark of byte order.
    private static func checkExit(_ json: [UInt8]) throws {
        guard let flat = ExitReport(flat: json) else { return }
        let decoded = try? JSONDecoder().decode(ExitReport.self, from: Data(json))
        try hold(flat == decoded, "Read \(flat), not \(String(describing: decoded)).")
    }
}
