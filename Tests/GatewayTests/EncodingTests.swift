import Execution
import Fleet
import Foundation
import NIOCore
import Testing

@testable import Gateway

@Suite struct JSONTextTests {
    @Test(arguments: [
        "", "plain", "\"quoted\" and \\ back", "line\nend\r\n\ttab", "\u{0}\u{1}\u{8}\u{C}\u{1F}\u{7F}",
        "\u{85}\u{2028}\u{2029}\u{2027}\u{202A}\u{84}\u{86}", "žluťoučký 日本語 👩‍👩‍👧 𝄞",
        String(repeating: "abcdefg\"", count: 3_000), String(repeating: "é", count: 5_000) + "\u{2028}",
        String(repeating: "x", count: 4_095) + "\u{2029}" + String(repeating: "\u{85}", count: 4_096),
    ])
    func readsBackAsWritten(text: String) throws {
        var buffer = ByteBuffer()
        buffer.writeJSONString(text)
        let json = String(buffer: buffer)
        #expect(try JSONDecoder().decode(String.self, from: Data(json.utf8)) == text)
        // One line, whatever a reader takes for a line's end.
        let newlines = json.filter(\.isNewline)
        #expect(newlines.isEmpty)
    }

    @Test func everyCodePointAtEveryOffsetReadsBack() throws {
        var scalars = String.UnicodeScalarView()
        for value in UInt32(0)..<0x3000 { scalars.append(Unicode.Scalar(value)!) }
        let all = String(scalars)
        for offset in 0..<8 {
            let text = String(repeating: "-", count: offset) + all
            var buffer = ByteBuffer()
            buffer.writeJSONString(text)
            #expect(try JSONDecoder().decode(String.self, from: Data(buffer.readableBytesView)) == text)
        }
    }

    @Test(arguments: 0..<10) func base64IsThatOfFoundation(count: Int) {
        let bytes = (0..<count).map { UInt8($0 * 29 & 255) }
        var buffer = ByteBuffer()
        buffer.writeJSONBase64(bytes)
        #expect(String(buffer: buffer) == "\"\(Data(bytes).base64EncodedString())\"")
    }

    @Test(arguments: [(0.0, "0.0"), (12.34567, "12.346"), (.infinity, "null"), (.nan, "null")])
    func numbersAreNumbers(value: Double, text: String) {
        var buffer = ByteBuffer()
        buffer.writeJSONNumber(value)
        #expect(String(buffer: buffer) == text)
    }
}

@Suite struct TextJoinerTests {
    /// Every way to cut the text in three gives the text back, and no piece is ever bytes.
    @Test func aCharacterCutAnywhereIsJoined() {
        let text = Array("aé日👩‍👧𝄞z".utf8)
        for first in 0...text.count {
            for second in first...text.count {
                var joiner = TextJoiner()
                var whole: [UInt8] = []
                for chunk in [text[..<first], text[first..<second], text[second...]] where !chunk.isEmpty {
                    switch joiner.append(Array(chunk)) {
                    case .text(let piece): whole += piece
                    case .bytes: Issue.record("cut at \(first) and \(second): not text")
                    case nil: break
                    }
                }
                #expect(joiner.flush() == nil)
                #expect(whole == text)
            }
        }
    }

    @Test(arguments: [
        // (chunks, pieces, what flush gives)
        ([[0xFF, 0x41]], ["b:ff41"], "-"),
        ([[0x41, 0xC3], [0x41]], ["t:41", "b:c341"], "-"),
        ([[0xC3]], ["-"], "b:c3"),  // ended inside a character
        ([[0xFF, 0xC3], [0xA9, 0x0A]], ["b:ff", "t:c3a90a"], "-"),  // one bad chunk does not spoil the next
        ([[0xE0, 0x80], [0x41]], ["b:e080", "t:41"], "-"),  // overlong: never going to be a character
        ([[0xED, 0xA0]], ["b:eda0"], "-"),  // a surrogate
        ([[0xF4, 0x90]], ["b:f490"], "-"),  // beyond U+10FFFF
        ([[0xF0, 0x9F, 0x91], [0xA9]], ["-", "t:f09f91a9"], "-"),
        ([[0x80, 0x80, 0x80, 0x80]], ["b:80808080"], "-"),
        ([[0xC1]], ["b:c1"], "-"),
    ])
    func bytesThatAreNotTextStayBytes(chunks: [[UInt8]], pieces: [String], rest: String) {
        func name(_ piece: TextJoiner.Piece?) -> String {
            func hex(_ bytes: ArraySlice<UInt8>) -> String {
                bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
            return switch piece {
            case nil: "-"
            case .text(let bytes): "t:" + hex(bytes)
            case .bytes(let bytes): "b:" + hex(bytes)
            }
        }
        var joiner = TextJoiner()
        #expect(chunks.map { name(joiner.append($0)) } == pieces)
        #expect(name(joiner.flush()) == rest)
    }
}

@Suite struct EventEncoderTests {
    static let report = ExitReport(
        exitCode: 3, signal: nil, reason: .exited, stage: .run, durationMs: 12.5, cpuMs: nil, maxRssBytes: 1_024,
        truncated: false)

    static func encode(_ events: [ExecutionEvent], as framing: EventEncoder.Framing) -> String {
        var encoder = EventEncoder(framing)
        var buffer = ByteBuffer()
        for event in events { encoder.encode(event, into: &buffer) }
        return String(buffer: buffer)
    }

    @Test func linesAreThoseOfTheTable() {
        let id = ExecutionID("4bf83d8a-0000-4000-8000-000000000000")!
        let text = Self.encode(
            [
                .status(.starting, message: "VM is \"waking\""), .started(id), .output(.stdout, Array("a\nb".utf8)),
                .output(.stderr, [0xFF]), .keepalive, .output(.stdout, [0xC3]), .exit(Self.report),
            ], as: .ndjson)
        #expect(
            text == """
                {"event":"status","state":"starting","message":"VM is \\"waking\\""}
                {"event":"started","executionId":"4bf83d8a-0000-4000-8000-000000000000","network":"none"}
                {"event":"stdout","seq":1,"data":"a\\nb"}
                {"event":"stderr","seq":2,"data":"/w==","encoding":"base64"}
                {"event":"keepalive"}
                {"event":"stdout","seq":3,"data":"ww==","encoding":"base64"}
                {"event":"exit","exitCode":3,"signal":null,"reason":"exited","stage":"run","durationMs":12.5,\
                "cpuMs":null,"maxRssBytes":1024,"truncated":false}

                """)
    }

    @Test func theBeginningSaysWhatIsReachedAndWhyItIsLess() {
        let id = ExecutionID("4bf83d8a-0000-4000-8000-000000000000")!
        let text = Self.encode(
            [.started(id, RunNetwork(.egress)), .started(id, RunNetwork(.isolated, notice: "No \"way\" out."))],
            as: .ndjson)
        #expect(
            text == """
                {"event":"started","executionId":"4bf83d8a-0000-4000-8000-000000000000","network":"egress"}
                {"event":"started","executionId":"4bf83d8a-0000-4000-8000-000000000000","network":"none",\
                "networkNotice":"No \\"way\\" out."}

                """)
    }

    @Test func serverSentEventsCarryTheSameObjects() {
        let error = ServiceError(.vmStartTimeout, "Job x is waiting.", hint: "Is a worker up?")
        let text = Self.encode([.output(.stdout, Array("hi\n\ndata: {}\n".utf8)), .error(error)], as: .sse)
        #expect(
            text == """
                event: stdout
                id: 1
                data: {"event":"stdout","seq":1,"data":"hi\\n\\ndata: {}\\n"}

                event: error
                data: {"event":"error","code":"vm_start_timeout","message":"Job x is waiting.","hint":"Is a worker up?"}


                """)
    }

    /// A program that prints our own frames prints text.
    @Test func whatIsPrintedCannotForgeAnEvent() throws {
        let forged = Self.encode([.exit(Self.report)], as: .ndjson) + Self.encode([.keepalive], as: .sse)
        let lines = Self.encode([.output(.stdout, Array(forged.utf8))], as: .ndjson).split(separator: "\n")
        #expect(lines.count == 1)
        struct Output: Decodable { let event, data: String }
        let output = try JSONDecoder().decode(Output.self, from: Data(lines[0].utf8))
        #expect(output.event == "stdout" && output.data == forged)
    }

    @Test(
        arguments: [
            (nil, "application/x-ndjson"), ("", "application/x-ndjson"), ("*/*", "application/x-ndjson"),
            ("text/event-stream", "text/event-stream"), ("application/json", "application/json"),
            ("application/json, text/plain, */*", "application/json"), ("text/*", "text/plain"),
            ("application/*", "application/x-ndjson"), ("text/plain;q=0.5, application/json;q=0.9", "application/json"),
            ("text/html,*/*;q=0.8", "application/x-ndjson"), ("*/*, application/x-ndjson;q=0", "text/plain"),
            ("TEXT/Plain ; Q=1.0", "text/plain"), ("text/event-stream;charset=utf-8", "text/event-stream"),
            ("text/html", nil), ("application/json;q=0", nil), ("nonsense", nil),
        ] as [(String?, String?)])
    func acceptIsNegotiated(accept: String?, expected: String?) {
        #expect(StreamEncoding.negotiated(accept: accept)?.rawValue == expected)
    }
}
