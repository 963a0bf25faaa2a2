import ArgumentParser
import Client

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

    /// Asks for a list of a kind of things and prints it.
    func show(
        _ resource: Resource, at path: String? = nil, _ query: [(String, String?)] = [], paging: APIClient.Paging,
        whenEmpty: String
    ) async throws {
        let listing = try await answer.client().list(
            path ?? resource.path, query, field: resource.many, paging: paging, limit: most)
        try await print(listing, resource, whenEmpty: whenEmpty)
    }

    var most: Int { limit ?? Self.usual }

    /// Prints a list; where it is longer than the limit, says so.
    func print(_ listing: APIClient.Listing, _ resource: Resource, whenEmpty: String) async throws {
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
