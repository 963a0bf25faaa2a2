import Foundation
import TestSupport

@testable import Client

/// What has to hold for any bytes from a server: however they are cut, the same lines come out, and output is read from a
/// line as a decoder reads it.
enum LineProperties {
    /// The first byte says how the rest is cut.
    static func check(_ bytes: [UInt8]) throws {
        guard let step = bytes.first else { return }
        let stream = Array(bytes.dropFirst())
        let lines = try split(stream, by: Int(step) + 1)
        var expected = stream.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
        if expected.last == [] { expected.removeLast() }
        try hold(lines == expected, "Other lines than there are.")
        for line in lines { try checkLine(line) }
    }

    private static func split(_ stream: [UInt8], by step: Int) throws -> [[UInt8]] {
        var splitter = LineSplitter()
        var lines: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: step) {
            lines += try splitter.feed(Array(stream[start..<min(start + step, stream.count)]))
        }
        if let rest = splitter.rest { lines.append(rest) }
        return lines
    }

    private static func checkLine(_ line: [UInt8]) throws {
        struct Output: Decodable {
            let event, data: String
            let encoding: String?
            let state, message, executionId, signal, reason, code, hint: String?  // of these types, if they are there
            let exitCode: Int?
            let durationMs: Double?
        }
        let event = try? RunEvent(line: line)
        guard let output = try? JSONDecoder().decode(Output.self, from: Data(line)),
            ["stdout", "stderr"].contains(output.event)
        else { return }
        guard case .output(let toError, let bytes)? = event else { throw Violation("Output was not read as such.") }
        let isBase64 = output.encoding == "base64"
        let expected = isBase64 ? Data(base64Encoded: output.data).map(Array.init) ?? [] : Array(output.data.utf8)
        try hold(bytes == expected && toError == (output.event == "stderr"), "Read \(bytes), not \(expected).")
    }
}
