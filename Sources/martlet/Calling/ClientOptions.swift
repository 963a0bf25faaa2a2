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

/// What commands have in common that ask the server one thing and print what it says.
struct AnswerOptions: ParsableArguments {
    @OptionGroup var server: ClientOptions
    @Flag(help: "Print the server's JSON.") var json = false

    func client() throws -> APIClient { try server.client() }

    /// Asks for one thing, or for something to be done to it, and prints it as it is then.
    func show(
        _ resource: Resource, _ method: String = "GET", at path: String, json body: (any Encodable & Sendable)? = nil
    ) async throws {
        try await show(resource, try await client().call(method, path, json: body))
    }

    func show(_ resource: Resource, _ answer: APIClient.Answer) async throws {
        try await show(answer) { answer, style in
            resource.description(of: answer[resource.one] ?? answer, style)
        }
    }

    /// Prints an answer: as it came for programs, else what `text` makes of it.
    func show(_ answer: APIClient.Answer, _ text: (JSONValue, TextStyle) throws -> String) async throws {
        if json { return try await printJSON(answer) }
        try await printLine(try text(try answer.decoded(as: JSONValue.self), .standard(for: .output)))
    }
}

/// What commands have in common that print a list.
struct ListOptions: ParsableArguments {
    @OptionGroup var answer: AnswerOptions
    @Option(help: ArgumentHelp("Most entries.", discussion: "By default \(Self.usual).", valueName: "n"))
    var limit: Int?

    /// Enough for a person; more is asked for.
    private static let usual = 100

    func validate() throws {
        if let limit, !(1...1_000_000).contains(limit) {
            throw ValidationError("'--limit' is a number from 1 to 1000000.")
        }
    }

    /// Prints the list of a kind of things; where it is longer than the limit, says so.
    func show(
        _ resource: Resource, at path: String? = nil, _ query: [(String, String?)] = [], paging: APIClient.Paging,
        whenEmpty: String
    ) async throws {
        let listing = try await answer.client().list(
            path ?? resource.path, query, field: resource.many, paging: paging, limit: limit ?? Self.usual)
        if answer.json {
            try await printLine(JSONValue.object([resource.many: .array(listing.entries)]).json())
        } else if listing.entries.isEmpty {
            try await printLine(whenEmpty)
        } else {
            try await printLine(resource.table(of: listing.entries, .standard(for: .output)))
        }
        if listing.isCut { try await printNote("there are more than these \(listing.entries.count): see --limit") }
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

/// A word beside the result, on standard error.
func printNote(_ text: String) async throws {
    try await StandardOutput().write(Array("martlet: \(text)\n".utf8), to: .error)
}
