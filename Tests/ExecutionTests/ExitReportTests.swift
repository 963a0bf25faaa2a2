import Foundation
import Testing

@testable import Execution

@Suite struct ExitReportTests {
    static let rest = #""stage":"run","durationMs":12,"cpuMs":7,"maxRssBytes":9879552,"truncated":"#

    @Test(arguments: [
        #"{"exitCode":0,"signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":255,"signal":null,"reason":"output_limit",\#(rest)true}"#,
        #"{"exitCode":null,"signal":"SIGSEGV","reason":"signaled",\#(rest)false}"#,
    ]) func whatTheRunnerWritesIsReadAsADecoderReadsIt(text: String) throws {
        let decoded = try JSONDecoder().decode(ExitReport.self, from: Data(text.utf8))
        #expect(ExitReport(flat: Array(text.utf8)) == decoded)
    }

    @Test(arguments: [
        "", "{}", "{", "null", #"{"exitCode":0}"#,
        #"{"exitCode":0,"signal":null,"reason":"imagined",\#(rest)false}"#,
        #"{"exitCode":0.5,"signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":"0","signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":0,"exitCode":1,"signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":0,"signal":"a\"b","reason":"exited",\#(rest)false}"#,
        #"{"exitCode":00,"signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":+1,"signal":null,"reason":"exited",\#(rest)false}"#,
        #"{"exitCode":0,"signal":"a"b","reason":"exited",\#(rest)false}"#,
        #"{"exitCode":0, "signal":null,"reason":"exited",\#(rest)false}"#,
    ]) func whatIsWrittenInAnotherWayIsLeftToADecoder(text: String) {
        #expect(ExitReport(flat: Array(text.utf8)) == nil)
    }
}
