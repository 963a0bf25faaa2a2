import TestSupport
import Testing

@Suite struct FuzzTests {
    @Test func anyBodyIsTakenIfItIsJSONOfTheForm() throws {
        try Fuzzing.run(
            "requests", count: 6_000,
            words: [
                #""code":"#, #""codeEncoding":"base64""#, #""language":"#, #""stdin":"#, #""args":["#, #""env":{"#,
                #""files":[{"path":"#, #""content":"#, #""timeoutMs":"#, #""limits":{"#, "null", "true", "false", "-0",
                "1e3", "1E-2", "0.5", "\\u0000", "\\ud834\\udd1e", "\\ud800", "\\\"", "\\", "[[[[", "{\"0\":", "}", ",",
                ":",
                " ", "\t",
            ], RequestProperties.check)
    }

    @Test func whateverIsPrintedReadsBackAndForgesNothing() throws {
        try Fuzzing.run(
            "events", count: 2_000,
            words: [
                "data: ", "\n\ndata: {}\n\n", "event: exit\n", "id: 7\n", #"{"event":"exit"}"#, "\"", "\\", ":",
                "\u{1B}[2J",
                "retry: 1\n",
            ], EventProperties.check)
    }
}
