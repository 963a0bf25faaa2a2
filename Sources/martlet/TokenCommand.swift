import ArgumentParser
import Client

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and revoke your API tokens.",
        discussion: """
            Examples:
              export MARTLET_TOKEN="$(martlet token create ci --expires 30d)"
              martlet token list
            """,
        subcommands: [Create.self, List.self, Revoke.self, Show.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token and print it, once: the server keeps only its hash.")
        @OptionGroup var answer: AnswerOptions
        @OptionGroup var token: NewTokenOptions

        func run() async throws { try await token.create(at: Resource.token.path, answer) }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List your tokens.")
        @OptionGroup var list: ListOptions

        func run() async throws {
            try await list.show(.token, paging: .whole, whenEmpty: "You have no tokens.")
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a token; it stops working at once.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "The token's id, as 'martlet token list' shows it.") var id: String

        func run() async throws { try await server.client().call("DELETE", Resource.token.path(of: id)) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the token in use, for \"$(martlet token show)\" in scripts.")
        @OptionGroup var server: ClientOptions

        func run() async throws {
            guard let token = try server.client().token else {
                throw ClientError(
                    .notAllowed, code: "no_token", message: "There is no token for this server.",
                    hint: "Set MARTLET_TOKEN.")
            }
            try await printLine(token)
        }
    }
}

/// What commands have in common that make a token.
struct NewTokenOptions: ParsableArguments {
    @Argument(help: "What it is for, to know it by.") var name: String
    @Flag(help: "Let it administer the server, if its owner may.") var admin = false
    @Option(help: ArgumentHelp("How long it is good for, for example 12h or 30d.", valueName: "time"))
    var expires: TimeSpan?

    private struct Request: Encodable {
        let name: String
        let scopes: [String]
        let expiresInSeconds: Int?
    }

    /// Makes it and prints it, alone on standard output.
    func create(at path: String, _ answer: AnswerOptions) async throws {
        let request = Request(
            name: name, scopes: admin ? ["user", "admin"] : ["user"],
            expiresInSeconds: expires.map { max(1, $0.milliseconds / 1_000) })
        let made = try await answer.client().create(path, json: request)
        if answer.json { return try await printJSON(made) }
        guard let token = try made.decoded(as: JSONValue.self)["token"]?.text else {
            throw ClientError(
                .failed, code: "answer_not_understood", message: "The server's answer holds no token.",
                hint: "Look for it in the list of tokens, and revoke it.")
        }
        try await printLine(token)
    }
}
