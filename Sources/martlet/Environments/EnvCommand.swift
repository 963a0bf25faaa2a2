import ArgumentParser
import Client

struct EnvCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "env", abstract: "Make and control environments: machines beside your VM.",
        discussion: """
            Each has a size, variables and files of its own. NAME is its slug (env_…) or id.

            Examples:
              martlet env create --name web --var STAGE=test --var-file .env
              martlet env list
              martlet run --environment env_ab12cd34 hello.py
              martlet env destroy env_ab12cd34
            """,
        subcommands: [
            List.self, EnvCreateCommand.self, Show.self, EnvUpdateCommand.self, Start.self, Stop.self, Recover.self,
            Destroy.self, Audit.self, Logs.self,
        ], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List your environments, oldest first; your own VM is one of them.")
        @OptionGroup var list: ListOptions

        func run() async throws {
            try await list.show(
                .environment, paging: .last(parameter: "after"),
                whenEmpty: "You have no environments yet: 'martlet env create --name NAME' makes one.")
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one.")
        @OptionGroup var environment: OneOptions

        func run() async throws { try await environment.show(.environment) }
    }

    struct Start: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Wake one.")
        @OptionGroup var environment: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws { try await environment.move("start", waiting, until: isIn("running")) }
    }

    struct Stop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Put one to sleep; its home stays.")
        @OptionGroup var environment: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws { try await environment.move("stop", waiting, until: isIn("stopped")) }
    }

    struct Recover: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take one out of state 'error': start it again.")
        @OptionGroup var environment: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws { try await environment.move("recover", waiting, until: isIn("running")) }
    }

    struct Destroy: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove one and everything in its home.")
        @OptionGroup var environment: OneOptions
        @OptionGroup var waiting: Waiting
        @OptionGroup var confirmation: Confirmation

        func run() async throws {
            let path = try Resource.environment.path(of: environment.name)
            try await confirmation.confirm("This removes the environment \(environment.name) and all files in it")
            try await waiting.carryOut(
                environment.answer, .environment, try Transition.environment(environment.name), until: isGone
            ) { try await $0.call("DELETE", path) }
        }
    }

    struct Audit: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to one and by whom, newest first, what was refused too.")
        @OptionGroup var list: ListOptions
        @Argument(help: "Its slug or id.") var name: String

        func run() async throws {
            try await list.show(
                .audit, at: "\(try Resource.environment.path(of: name))/audit", paging: .last(parameter: "before"),
                whenEmpty: "Nothing was done to it.")
        }
    }

    struct Logs: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what was done to make and start one, of the last hour.",
            discussion: "'martlet vm logs' has those of all of them.")
        @OptionGroup var log: LogOptions
        @Argument(help: "Its slug or id.") var name: String

        func run() async throws { try await log.show("\(try Resource.environment.path(of: name))/logs") }
    }
}

extension OneOptions {
    fileprivate func move(
        _ verb: String, _ waiting: Waiting, until isDone: @escaping @Sendable (JSONValue?) -> Bool
    ) async throws {
        try await move(.environment, verb, waiting, try .environment(name), until: isDone)
    }
}

extension Transition {
    static func environment(_ name: String) throws -> Transition {
        let path = try Resource.environment.path(of: name)
        return Transition(
            path: path, field: Resource.environment.one, logPath: "\(path)/logs",
            advice: """
                See 'martlet env logs \(name)', then 'martlet env recover \(name)' or 'martlet env destroy \(name)'.
                """)
    }
}
