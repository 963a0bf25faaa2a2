import Execution
import Fleet
import Foundation
import NIOCore
import TestSupport

@testable import Gateway

/// What has to hold of a stream whatever a program prints, in whatever pieces: a line or an event each, which read back
/// gives its bytes, and nothing that is printed can be taken for an event.
enum EventProperties {
    static func check(_ bytes: [UInt8]) throws {
        let events = Self.events(from: bytes)
        let lines = try Self.lines(of: encode(events, .ndjson))
        try checkText(lines)
        let records = try lines.map { line in
            do {
                return try JSONDecoder().decode(Record.self, from: Data(line.utf8))
            } catch {
                throw Violation("Not JSON: \(line)")
            }
        }
        try checkOrder(records, events)
        for stream in [ExecutionEvent.Stream.stdout, .stderr] { try checkOutput(records, events, stream) }
        try checkServerSent(try text(of: encode(events, .sse)), lines, records)
    }

    // MARK: What is encoded

    /// A byte for the kind, one for a length, so many bytes; 255 is all that is left. The last is an exit or an error.
    static func events(from bytes: [UInt8]) -> [ExecutionEvent] {
        var events: [ExecutionEvent] = []
        var rest = bytes[...]
        while rest.count >= 2 {
            let (kind, length) = (rest.removeFirst(), rest.removeFirst())
            let payload = Array(length == 255 ? rest : rest.prefix(Int(length)))
            rest = rest.dropFirst(payload.count)
            switch kind % 8 {
            case 0: events.append(.keepalive)
            case 1: events.append(.status(.starting, message: String(decoding: payload, as: UTF8.self)))
            case 2, 3: if !payload.isEmpty { events.append(.output(.stderr, payload)) }
            default: if !payload.isEmpty { events.append(.output(.stdout, payload)) }
            }
        }
        let left = String(decoding: bytes.suffix(20), as: UTF8.self)
        if bytes.count % 2 == 0 {
            events.append(.error(ServiceError(.executionLost, left, hint: left)))
        } else {
            events.append(
                .exit(
                    ExitReport(
                        exitCode: bytes.count, signal: left, reason: .exited, stage: .run, durationMs: 1, cpuMs: nil,
                        maxRssBytes: nil, truncated: false)))
        }
        return events
    }

    private static func encode(_ events: [ExecutionEvent], _ framing: EventEncoder.Framing) -> ByteBuffer {
        var encoder = EventEncoder(framing)
        var buffer = ByteBuffer()
        for event in events { encoder.encode(event, into: &buffer) }
        return buffer
    }

    private struct Record: Decodable, Equatable {
        let event: String
        let seq: Int?
        let data, encoding, message, signal: String?
        let exitCode: Int?

        func bytes() throws -> [UInt8] {
            guard let data else { throw Violation("Output without data.") }
            guard let encoding else { return Array(data.utf8) }
            guard encoding == "base64", let bytes = Data(base64Encoded: data) else { throw Violation("Bad base64.") }
            return Array(bytes)
        }
    }

    // MARK: What has to hold

    private static func text(of buffer: ByteBuffer) throws -> String {
        guard let text = String(validating: buffer.readableBytesView, as: UTF8.self) else {
            throw Violation("What is sent is not UTF-8.")
        }
        return text
    }

    private static func lines(of buffer: ByteBuffer) throws -> [String] {
        let text = try text(of: buffer)
        try hold(text.utf8.last == UInt8(ascii: "\n"), "The last line has no end.")
        return text.utf8.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
    }

    /// No reader cuts a line: what Python's `str.splitlines` takes for an end is there in no other place.
    private static func checkText(_ lines: [String]) throws {
        for scalar in lines.lazy.flatMap(\.unicodeScalars) {
            let isEnd = scalar.value < 0x20 || [0x85, 0x2028, 0x2029].contains(scalar.value)
            try hold(!isEnd, "A line holds U+\(String(scalar.value, radix: 16)).")
        }
    }

    private static func checkOrder(_ records: [Record], _ events: [ExecutionEvent]) throws {
        let outputs = records.filter { $0.event == "stdout" || $0.event == "stderr" }
        try hold(outputs.map(\.seq) == outputs.indices.map { $0 + 1 }, "Output is not numbered.")
        let others = records.filter { $0.event != "stdout" && $0.event != "stderr" }
        let expected: [(String, String?)] = events.compactMap { event in
            switch event {
            case .status(_, let message): ("status", message)
            case .started: ("started", nil)
            case .keepalive: ("keepalive", nil)
            case .exit(let report): ("exit", report.signal)
            case .error(let error): ("error", error.message)
            case .output: nil
            }
        }
        let found = others.map { ($0.event, $0.message ?? $0.signal) }
        let isSame = found.elementsEqual(expected) { ours, theirs in
            ours.0 == theirs.0 && ours.1.map { Array($0.utf8) } == theirs.1.map { Array($0.utf8) }
        }
        try hold(isSame, "Read back \(found), not \(expected).")
        try hold(["exit", "error"].contains(records.last?.event ?? ""), "The end is not last.")
    }

    private static func checkOutput(
        _ records: [Record], _ events: [ExecutionEvent], _ stream: ExecutionEvent.Stream
    ) throws {
        let printed = events.flatMap { event -> [UInt8] in
            if case .output(stream, let bytes) = event { bytes } else { [] }
        }
        let found = records.filter { $0.event == stream.rawValue }
        try hold(try found.flatMap { try $0.bytes() } == printed, "\(stream) is not what was printed.")
        if TextJoiner.isUTF8(printed[...]) {
            try hold(found.allSatisfy { $0.encoding == nil }, "Text on \(stream) was sent as bytes.")
        }
    }

    /// By the reading of the HTML standard, 9.2.6, which ends lines at CR too.
    private static func checkServerSent(_ text: String, _ lines: [String], _ records: [Record]) throws {
        var found: [(name: String, id: String, data: String)] = []
        var (name, id, data): (String, String, [String]) = ("", "", [])
        let unified = text.replacing("\r\n", with: "\n").replacing("\r", with: "\n")
        for line in unified.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(String.init)
        {
            guard let line else { throw Violation("What is sent is not UTF-8.") }
            if line.isEmpty {
                if !data.isEmpty { found.append((name, id, data.joined(separator: "\n"))) }
                (name, data) = ("", [])
            } else if let value = line.value(of: "event") {
                name = value
            } else if let value = line.value(of: "id") {
                id = value
            } else if let value = line.value(of: "data") {
                data.append(value)
            } else {
                throw Violation("A line of no field: \(line)")
            }
        }
        try hold(found.map { Array($0.data.utf8) } == lines.map { Array($0.utf8) }, "Events are not the lines.")
        try hold(found.map(\.name) == records.map(\.event), "An event has another name.")
        var last = ""
        for (event, record) in zip(found, records) {
            if let sequence = record.seq { last = "\(sequence)" }
            try hold(event.id == last, "An event has id \(event.id), not \(last).")
        }
    }
}

extension String {
    fileprivate func value(of field: String) -> String? {
        let start = "\(field): "
        return utf8.starts(with: start.utf8) ? String(decoding: utf8.dropFirst(start.utf8.count), as: UTF8.self) : nil
    }
}
