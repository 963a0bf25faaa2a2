import ArgumentParser
import Client
import Foundation

/// Which server a client command calls.
struct ClientOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The server, for example http://127.0.0.1:4610.",
            discussion: """
                Else MARTLET_URL, else the credentials file of 'martlet up'. The token is MARTLET_TOKEN, else the \
                file's.
                """, valueName: "url"))
    var url: String?

    func client() throws -> APIClient { try APIClient.standard(url: url) }
}

/// A length of time as people write it: `500ms`, `10s`, `2m`, `1h`, `30d`; a bare number is seconds.
struct TimeSpan: ExpressibleByArgument {
    let milliseconds: Int

    init?(argument: String) {
        let units: [(String, Double)] = [
            ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("", 1_000),
        ]
        for (unit, factor) in units where argument.hasSuffix(unit) {
            guard let number = Double(argument.dropLast(unit.count)), number > 0 else { continue }
            let milliseconds = (number * factor).rounded()
            guard milliseconds >= 1, milliseconds <= 1e15 else { return nil }
            self.milliseconds = Int(milliseconds)
            return
        }
        return nil
    }
}

/// Prints an answer's body as the server sent it.
func printJSON(_ answer: APIClient.Answer) async throws {
    let newline = answer.body.last == UInt8(ascii: "\n") ? [] : [UInt8(ascii: "\n")]
    try await StandardOutput().write(answer.body + newline, to: .output)
}

func printLine(_ text: String) async throws {
    try await StandardOutput().write(Array("\(text)\n".utf8), to: .output)
}
