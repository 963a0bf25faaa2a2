import ArgumentParser
import Client
import Foundation

struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and revoke your API tokens.",
        subcommands: [Create.self, List.self, Revoke.self, Show.self])

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token and print it, once: the server keeps only its hash.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "What it is for, to know it by.") var name: String
        @Flag(help: "Let it administer the server, if you may.") var admin = false
        @Option(help: ArgumentHelp("How long it is good for, for example 12h or 30d.", valueName: "time"))
        var expires: TimeSpan?
        @Flag(help: "Print the server's JSON.") var json = false

        private struct Request: Encodable {
            let name: String
            let scopes: [String]
            let expiresInSeconds: Int?
        }

        func run() async throws {
            let request = Request(
                name: name, scopes: admin ? ["user", "admin"] : ["user"],
                expiresInSeconds: expires.map { max(1, $0.milliseconds / 1_000) })
            let answer = try await server.client().call("POST", "/v1/tokens", json: request)
            if json { return try await printJSON(answer) }
            try await printLine(try answer.decoded(as: TokenDescription.self).token ?? "")
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List your tokens.")
        @OptionGroup var server: ClientOptions
        @Flag(help: "Print the server's JSON.") var json = false

        func run() async throws {
            let answer = try await server.client().call("GET", "/v1/tokens")
            if json { return try await printJSON(answer) }
            var table = TextTable(["ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "STATE"])
            for token in try answer.decoded(as: APIClient.TokensAnswer.self).tokens {
                table.add([
                    token.id, token.name, token.scopes.joined(separator: ","), token.createdAt ?? "",
                    token.expiresAt ?? "never", token.revokedAt == nil ? "valid" : "revoked",
                ])
            }
            try await printLine(table.description)
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a token; it stops working at once.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "The token's id, as 'martlet token list' shows it.") var id: String

        func run() async throws {
            guard let escaped = id.addingPercentEncoding(withAllowedCharacters: .alphanumerics.union(["-"])) else {
                throw ValidationError("'\(id)' is no token id.")
            }
            try await server.client().call("DELETE", "/v1/tokens/\(escaped)")
        }
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
