import ArgumentParser
import Client

struct RuntimesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "runtimes", abstract: "List the languages your VM runs.")

    @OptionGroup var server: ClientOptions
    @Flag(help: "Print the server's JSON.") var json = false

    func run() async throws {
        let client = try server.client()
        let answer = try await client.call("GET", "/v1/runtimes")
        if json { return try await printJSON(answer) }
        var table = TextTable(["NAME", "ALSO", "EXTENSIONS", "VERSION"])
        for language in try answer.decoded(as: APIClient.LanguagesAnswer.self).runtimes {
            let version =
                switch language.available {
                case true?: language.version ?? "available"
                case false?: "not available: needs \(language.missing.joined(separator: " "))"
                case nil: "not known until your VM has run once"
                }
            table.add([
                language.name, language.aliases.joined(separator: " "),
                language.extensions.map { ".\($0)" }.joined(separator: " "), version,
            ])
        }
        try await printLine(table.description)
    }
}
