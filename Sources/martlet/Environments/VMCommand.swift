import ArgumentParser
import Client

struct VMCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vm", abstract: "See and control your VM.",
        discussion: """
            Examples:
              martlet vm                  what there is
              martlet vm start            wake it, or make it
              martlet vm logs --follow    what is done to it
            """,
        subcommands: [Status.self, Start.self, Stop.self, Destroy.self, Logs.self], defaultSubcommand: Status.self)

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show your VM and its state.")
        @OptionGroup var answer: AnswerOptions

        func run() async throws {
            try await answer.show(try await answer.client().call("GET", "/v1/vm")) { answer, style in
                answer["vm"].map { Resource.vm.description(of: $0, style) }
                    ?? "You have no VM yet: the first run makes it, or 'martlet vm start'."
            }
        }
    }

    struct Start: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Start your VM, making it if there is none, and wait until it runs.")
        @OptionGroup var answer: AnswerOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            try await waiting.carryOut(answer, until: isIn("running")) { try await $0.call("POST", "/v1/vm/start") }
        }
    }

    struct Stop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Stop your VM; its home stays.")
        @OptionGroup var answer: AnswerOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            try await waiting.carryOut(answer, until: isIn("stopped")) { try await $0.call("POST", "/v1/vm/stop") }
        }
    }

    struct Destroy: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove your VM and everything in its home.")
        @OptionGroup var answer: AnswerOptions
        @OptionGroup var waiting: Waiting
        @OptionGroup var confirmation: Confirmation

        func run() async throws {
            let found = try await answer.client().call("GET", "/v1/vm")
            guard let vm = try found.decoded(as: JSONValue.self)["vm"] else {
                return try await answer.show(found) { _, _ in "You have no VM." }
            }
            try await confirmation.confirm("This removes the VM \(vm["slug"]?.text ?? "") and all files in it")
            try await waiting.carryOut(answer, until: isGone) { try await $0.call("DELETE", "/v1/vm") }
        }
    }

    struct Logs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to make and start your VM, of the last hour.")
        @OptionGroup var log: LogOptions

        func run() async throws { try await log.show("/v1/vm/logs") }
    }
}

extension Waiting {
    /// Of the caller's own VM.
    fileprivate func carryOut(
        _ answer: AnswerOptions, until isDone: @escaping @Sendable (JSONValue?) -> Bool,
        _ request: (APIClient) async throws -> APIClient.Answer
    ) async throws {
        let transition = Transition(
            path: "/v1/vm", field: "vm", logPath: "/v1/vm/logs",
            advice: "See 'martlet vm logs', then 'martlet vm start' or 'martlet vm destroy'.")
        try await carryOut(answer, .vm, transition, until: isDone, request)
    }
}
