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

/// What commands have in common that are about one thing.
struct OneOptions: ParsableArguments {
    @OptionGroup var answer: AnswerOptions
    @Argument(help: "Its name (of environments and VMs: its slug) or id.") var name: String

    func show(_ resource: Resource) async throws { try await answer.show(resource, at: resource.path(of: name)) }

    /// Has something done to it that takes no time, and prints it as it is then.
    func act(_ resource: Resource, _ verb: String) async throws {
        try await answer.show(resource, "POST", at: "\(try resource.path(of: name))/\(verb)")
    }

    func change(_ resource: Resource, _ change: [String: JSONValue]) async throws {
        guard !change.isEmpty else { throw ValidationError("Say what is to change: see --help.") }
        try await answer.show(resource, "PATCH", at: resource.path(of: name), json: JSONValue.object(change))
    }

    /// Has something done to it that takes time, and waits.
    func move(
        _ resource: Resource, _ verb: String, _ waiting: Waiting, _ transition: Transition,
        until isDone: @escaping @Sendable (JSONValue?) -> Bool
    ) async throws {
        let path = "\(try resource.path(of: name))/\(verb)"
        try await waiting.carryOut(answer, resource, transition, until: isDone) { try await $0.call("POST", path) }
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
