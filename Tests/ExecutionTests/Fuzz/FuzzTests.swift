import TestSupport
import Testing

@Suite struct FuzzTests {
    @Test func framesComeOutTheSameHoweverTheyAreCut() throws {
        try Fuzzing.run(
            "frames", count: 20_000,
            words: [
                "\u{10}", "\u{11}", "\u{12}", "\u{13}", "\u{14}", "\u{15}", #""exitCode":"#, #""signal":"#,
                #""reason":"exited""#, "\"stage\":\"run\"", #""durationMs":"#, #""truncated":true"#, "null", "-0", "+1",
                "01",
                "\"", ",", "{", "}",
            ], FrameProperties.check)
    }
}
