import TestSupport
import Testing

@Suite struct FuzzTests {
    @Test func linesAndOutputAreReadAsADecoderReadsThem() throws {
        try Fuzzing.run(
            "lines", count: 10_000,
            words: [
                #"{"event":"stdout","seq":1,"data":""#, #"{"event":"stderr","seq":2,"data":""#,
                #"","encoding":"base64"}"#,
                "\"}\n", "\\u0000", "\\ud834\\udd1e", "\\ud800", "\\n", "\\\"", "\\", "keepalive", "exit", "error",
                "\"exitCode\":0", "=", "/w==",
            ], LineProperties.check)
    }
}
