import ArgumentParser
import Client

struct AdminUserQuotaCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quota", abstract: "Show and set what a user may have.",
        subcommands: [Show.self, Set.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a user may have and has, and whether the tier or an admin says so.")
        @OptionGroup var user: OneOptions

        func run() async throws {
            try await user.answer.showQuota(
                try await user.answer.client().call("GET", Resource.user.path(of: user.name)))
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set what a user may have in place of what their tier says; what is left out stays.",
            discussion: """
                Each is a number, or 'tier' for what the tier says.

                Examples:
                  martlet admin users quota set ada --environments 10 --runtime-hours 200
                  martlet admin users quota set ada --memory tier
                  martlet admin users quota set ada --reset
                """)
        @OptionGroup var user: OneOptions
        @Option(help: ArgumentHelp("Environments.", valueName: "n")) var environments: Limit?
        @Option(help: ArgumentHelp("Environments that run.", valueName: "n")) var running: Limit?
        @Option(help: ArgumentHelp("Processors over all environments.", valueName: "n")) var vcpus: Limit?
        @Option(help: ArgumentHelp("Memory over all environments.", valueName: "MB")) var memory: Limit?
        @Option(help: ArgumentHelp("Disk over all environments.", valueName: "MB")) var disk: Limit?
        @Option(help: ArgumentHelp("Hours of runtime in a calendar month.", valueName: "n")) var runtimeHours: Limit?
        @Option(
            help: ArgumentHelp(
                "What runs reach: 'none', or 'egress', the internet.", valueName: "none|egress|tier"))
        var network: Network?
        @Flag(help: "All others are what the tier says.") var reset = false

        private var given: [String: Limit] {
            [
                "environments": environments, "runningEnvironments": running, "vcpus": vcpus, "memoryMb": memory,
                "diskMb": disk, "runtimeHours": runtimeHours,
            ].compactMapValues(\.self)
        }

        func validate() throws {
            if given.isEmpty, network == nil, !reset { throw ValidationError("Say what is to be set.") }
        }

        func run() async throws {
            let client = try user.answer.client()
            let path = try Resource.user.path(of: user.name)
            var overrides: [String: JSONValue] = [:]
            if !reset {  // the API replaces them all: what stays is sent again
                overrides = try await client.call("GET", path).decoded(as: JSONValue.self)["overrides"]?.fields ?? [:]
            }
            for (name, limit) in given { overrides[name] = limit.json }
            if let network { overrides["network"] = network == .tier ? .null : .string(network.rawValue) }
            try await user.answer.showQuota(
                try await client.call("PUT", "\(path)/quota", json: JSONValue.object(overrides)))
        }
    }

    enum Network: String, ExpressibleByArgument { case none, egress, tier }

    /// A number, or what the tier says.
    enum Limit: ExpressibleByArgument {
        case number(Int)
        case tier

        init?(argument: String) {
            if argument == "tier" {
                self = .tier
            } else if let number = Int(argument), number >= 0 {
                self = .number(number)
            } else {
                return nil
            }
        }

        var json: JSONValue {
            switch self {
            case .number(let number): .integer(number)
            case .tier: .null
            }
        }
    }
}

extension AnswerOptions {
    fileprivate func showQuota(_ answer: APIClient.Answer) async throws {
        try await show(answer) { answer, style in
            QuotaTable.text(answer["quota"] ?? .null, overrides: answer["overrides"] ?? .null, style)
        }
    }
}
