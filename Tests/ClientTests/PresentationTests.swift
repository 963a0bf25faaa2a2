import Foundation
import Testing

@testable import Client

/// What people see of the API's JSON.
@Suite struct PresentationTests {
    let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func value(_ json: String) throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
    }

    @Test func jsonComesOutAsItWentIn() throws {
        let json = #"{"a":[1,2.5,true,null,"x/y"],"b":{"c":9007199254740993}}"#
        #expect(try value(json).json() == json)
        #expect(try value(json)["b.c"]?.integer == 9_007_199_254_740_993)
        #expect(try value(json)["b.d"] == nil)
    }

    @Test func aTableIsAsWideAsItsCellsInColoursToo() throws {
        var table = TextTable(["NAME", "STATE", "END"])
        table.add(["a-long-name", TextTable.Cell("error", .bad), ""])
        table.add(["b", TextTable.Cell("running", .good), "x"])
        let plain = "NAME         STATE    END\na-long-name  error    \nb            running  x"
        #expect(table.description == plain)
        let coloured = table.text(TextStyle(hasColours: true))
        #expect(coloured.contains("\u{1B}[31merror\u{1B}[0m    \n"))
        #expect(coloured.replacing(/\u{1B}\[[0-9]+m/, with: "") == plain)
    }

    @Test func nobodyCommandsTheTerminalOfAnother() throws {
        let name = "a\u{1B}[2J\u{7}\u{9B}\u{202E}b\nc\r"
        #expect(TerminalText.visible(name) == "a\\x1B[2J\\x07\\x9B\\u{202E}b c\\x0D")
        #expect(TerminalText.visible("one\r\n\ttwo\u{1B}", keepsLines: true) == "one\n\ttwo\\x1B")
        #expect(TerminalText.visible("Grüße, 漢字 👩‍💻") == "Grüße, 漢字 👩‍💻")
        let thing = JSONValue.object(["slug": .string("env_1"), "name": .string(name)])
        let style = TextStyle(hasColours: false, now: now)
        for text in [
            Resource.environment.table(of: [thing], style), Resource.environment.description(of: thing, style),
        ] {
            #expect(!text.unicodeScalars.contains { $0 != "\n" && ($0.value < 0x20 || $0 == "\u{9B}") })
        }
    }

    @Test func anEnvironmentIsToldInWordsAndWhatIsNotThereIsNotMentioned() throws {
        let moment = now.addingTimeInterval(-300).formatted(.iso8601)
        let environment = try value(
            """
            {"slug":"env_1","name":"web","state":"error","errorMessage":"no room","vcpus":2,"memoryMb":1536,"diskMb":512,
            "environmentVars":["A","B"],"createdAt":"\(moment)","expiresAt":null,"hasInitScript":false,"repository":null}
            """)
        let text = Resource.environment.description(of: environment, TextStyle(hasColours: false, now: now))
        #expect(
            text == """
                environment  env_1
                name         web
                state        error
                error        no room
                size         2 vCPU, 1.5 GB, 512 MB
                variables    A B
                created      2027-01-15 07:55:00 UTC, 5 min ago
                """)
    }

    static let distances: [(Double, String)] = [
        (0, "now"), (-3, "3 s ago"), (-90, "90 s ago"), (-7_200, "2 h ago"), (28_799.7, "in 8 h"), (172_800, "in 2 d"),
    ]

    @Test(arguments: distances) func timesAreToldFromNow(seconds: Double, text: String) {
        #expect(Quantity.distance(now.addingTimeInterval(seconds), from: now) == text)
    }

    @Test func whatIsUsedUpIsMarked() throws {
        let quota = try value(
            """
            {"limits":{"environments":1,"runningEnvironments":2,"vcpus":null,"memoryMb":4096,"diskMb":10240,
            "runtimeHours":1},"used":{"environments":1,"runningEnvironments":0,"vcpus":2,"memoryMb":1024,"diskMb":0,
            "runtimeSeconds":1800}}
            """)
        let lines = QuotaTable.text(quota, TextStyle(hasColours: true, now: now)).split(separator: "\n")
        #expect(lines.count == 7)
        #expect(lines[1].contains("\u{1B}[31m1\u{1B}[0m"))
        #expect(lines[3].hasSuffix("none"))
        #expect(lines[6].contains("0.5") && !lines[6].contains("\u{1B}"))
    }

    @Test func coloursAreNotForThoseWhoDeclineThem() {
        // Where the tests' standard output is no terminal there are none anyway.
        #expect(!TextStyle.standard(for: .output, environment: ["NO_COLOR": "1"]).hasColours)
        #expect(!TextStyle.standard(for: .output, environment: ["TERM": "dumb"]).hasColours)
    }
}
