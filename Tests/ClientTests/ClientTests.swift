import Foundation
import TestSupport
import Testing

@testable import Client

@Suite struct RunEventTests {
    @Test func bytesThatAreNotTextArriveAsTheyWere() throws {
        let line = #"{"event":"stderr","seq":3,"data":"/wD+","encoding":"base64"}"#
        #expect(try RunEvent(line: Array(line.utf8)) == .output(toError: true, [0xFF, 0x00, 0xFE]))
    }

    @Test func theFastReaderAgreesWithTheDecoder() throws {
        let texts = [
            "", "plain", "a\"b\\c/d\n\r\t\u{8}\u{C}\u{0}\u{1F}", "é ü 漢字 \u{2028}", "\u{1F600}\u{10FFFF}", "}\"{",
        ]
        for text in texts {
            struct Event: Encodable {
                let data: String
            }
            let data = String(decoding: try JSONEncoder().encode(Event(data: text)), as: UTF8.self).dropFirst()
            let line = #"{"event":"stdout","seq":12,"# + data
            #expect(OutputLine.parse(Array(line.utf8))?.bytes == Array(text.utf8))
            let escaped = text.utf16.map { "\\u" + String(format: "%04X", $0) }.joined()
            let other = Array("{\"event\":\"stderr\",\"seq\":1,\"data\":\"\(escaped)\"}".utf8)
            #expect(OutputLine.parse(other).map { $0.toError && $0.bytes == Array(text.utf8) } == true)
        }
        let odd = [
            #"{"event":"stdout","seq":1,"data":"\x"}"#, #"{"event":"stdout","seq":1,"data":"\ud800"}"#,
            #"{"event":"stdout","seq":1,"data":"open"#, #"{"event":"stdout","seq":1,"data":"a","more":1}"#,
            #"{"event":"stdout","seq":1,"data":"a\"#, #"{"event":"exit","exitCode":0}"#, "",
        ]
        for line in odd { #expect(OutputLine.parse(Array(line.utf8)) == nil) }
    }

    @Test func anEventOfANewerServerIsPassedOver() throws {
        #expect(try RunEvent(line: Array(#"{"event":"plot","png":"…"}"#.utf8)) == .unknown)
    }

    @Test func whatIsNoEventIsRefused() {
        #expect(throws: ClientError.self) { try RunEvent(line: Array("<html>".utf8)) }
    }

    static let endings: [(RunExit, Int32)] = [
        (RunExit(exitCode: 3, signal: nil, reason: "exited", durationMs: 1), 3),
        (RunExit(exitCode: nil, signal: "SIGSEGV", reason: "signaled", durationMs: 1), 139),
        (RunExit(exitCode: nil, signal: "SIGKILL", reason: "timeout", durationMs: 1), 124),
        (RunExit(exitCode: nil, signal: "SIGKILL", reason: "memory", durationMs: 1), 137),
        (RunExit(exitCode: nil, signal: "SIGKILL", reason: "output_limit", durationMs: 1), 125),
        (RunExit(exitCode: nil, signal: "SIGKILL", reason: "processes", durationMs: 1), 125),
        (RunExit(exitCode: nil, signal: nil, reason: "cancelled", durationMs: 1), 130),
    ]

    @Test(arguments: endings)
    func theShellIsToldHowItEnded(exit: RunExit, status: Int32) {
        #expect(exit.status == status)
    }
}

@Suite struct LineSplitterTests {
    @Test func linesAreWholeWhateverTheChunks() throws {
        let text = Array("one\n\ntwo\nthree".utf8)
        for size in 1...text.count {
            var splitter = LineSplitter()
            var lines: [[UInt8]] = []
            for start in stride(from: 0, to: text.count, by: size) {
                lines += try splitter.feed(Array(text[start..<min(start + size, text.count)]))
            }
            #expect(lines.map { String(decoding: $0, as: UTF8.self) } == ["one", "", "two"])
            #expect(splitter.rest == Array("three".utf8))
        }
    }
}

@Suite struct CredentialsTests {
    @Test func onlyTheOwnerMayReadThem() async throws {
        try await withTemporaryDirectory { directory in
            let path = "\(directory)/config/credentials.json"
            let credentials = Credentials(url: "http://127.0.0.1:1", token: "mlt_x", installation: "i")
            try credentials.save(to: path)
            #expect(try Credentials.load(from: path) == credentials)
            let header = Credentials.authorizationPath(beside: path)
            #expect(try String(contentsOfFile: header, encoding: .utf8) == "Authorization: Bearer mlt_x\n")
            for file in [path, header] {
                let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
                #expect(mode == 0o600)
            }
        }
    }

    @Test func aSavedTokenGoesToNoOtherServer() async throws {
        try await withTemporaryDirectory { directory in
            let environment = ["MARTLET_CREDENTIALS": "\(directory)/credentials.json"]
            try Credentials(url: "http://127.0.0.1:1", token: "mlt_x").save(to: "\(directory)/credentials.json")
            #expect(try APIClient.standard(environment: environment).token == "mlt_x")
            #expect(try APIClient.standard(url: "http://127.0.0.1:1/", environment: environment).token == "mlt_x")
            #expect(try APIClient.standard(url: "http://elsewhere", environment: environment).token == nil)
        }
    }
}
