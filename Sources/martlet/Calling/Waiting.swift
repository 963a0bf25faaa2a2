import ArgumentParser
import Client

/// What commands have in common whose request takes time.
struct Waiting: ParsableArguments {
    @Flag(
        inversion: .prefixedNo,
        help: "Wait until it is done, telling on standard error what is done meanwhile; or return at once.")
    var wait = true

    /// Makes the request, waits unless told otherwise, and prints the thing as it is then, or `gone`.
    func carryOut(
        _ answer: AnswerOptions, _ resource: Resource, _ transition: Transition, gone: String = "destroyed",
        until isDone: @escaping @Sendable (JSONValue?) -> Bool,
        _ request: (APIClient) async throws -> APIClient.Answer
    ) async throws {
        try await carryOut(
            answer, resource, logPath: transition.logPath, { _ in transition }, gone: gone, until: isDone, request)
    }

    /// As above, of a thing that the request makes: the answer says which.
    /// - Parameter logPath: the log that it will be told in.
    func carryOut(
        _ answer: AnswerOptions, _ resource: Resource, logPath: String?,
        _ transition: (JSONValue) throws -> Transition, gone: String = "destroyed",
        until isDone: @escaping @Sendable (JSONValue?) -> Bool,
        _ request: (APIClient) async throws -> APIClient.Answer
    ) async throws {
        let client = try answer.client()
        var known: [ProvisionLogLine] = []
        if wait, let logPath {  // for the eye only: a log that cannot be read stops nothing
            known = (try? await client.provisionLog(logPath)) ?? []
        }
        let taken = try await request(client)
        guard wait else { return try await answer.show(resource, taken) }
        let style = TextStyle.standard(for: .error)
        let thing = try taken.decoded(as: JSONValue.self)[resource.one] ?? .null
        let done = try await client.wait(for: try transition(thing), known: Set(known), until: isDone) { line in
            try? await StandardOutput().write(Array("\(line.text(style))\n".utf8), to: .error)
        }
        if answer.json { return try await printLine(JSONValue.object([resource.one: done ?? .null]).json()) }
        try await printLine(done.map { resource.description(of: $0, .standard(for: .output)) } ?? gone)
    }
}

/// What an answer says of a thing that is wanted in a state.
@Sendable func isIn(_ states: String...) -> @Sendable (JSONValue?) -> Bool {
    { thing in thing?["state"]?.text.map(states.contains) ?? false }
}

@Sendable func isGone(_ thing: JSONValue?) -> Bool { thing == nil }

/// What commands have in common that show a provision log.
struct LogOptions: ParsableArguments {
    @OptionGroup var answer: AnswerOptions
    @Flag(name: .shortAndLong, help: "Go on as more is written, until Ctrl-C.") var follow = false

    func show(_ path: String) async throws {
        let client = try answer.client()
        let style = TextStyle.standard(for: .output)
        guard follow else {
            let log = try await client.call("GET", path)
            if answer.json { return try await printJSON(log) }
            for line in try await client.provisionLog(path) { try await printLine(line.text(style)) }
            return
        }
        let json = answer.json
        try await withInterrupts { interrupts in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await client.followProvisionLog(path) { line in
                        try await printLine(json ? try line.json() : line.text(style))
                        return true
                    }
                }
                group.addTask { for await _ in interrupts { return } }
                try await group.next()
                group.cancelAll()
            }
        }
    }
}
