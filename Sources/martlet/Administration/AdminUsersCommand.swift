import ArgumentParser
import Client

struct AdminUsersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "users", abstract: "Look after users, what they may have, and their tokens.",
        discussion: """
            Examples:
              martlet admin users list --tier pro --suspended
              martlet admin users create ada --email ada@example.org --tier pro
              martlet admin users update ada --tier unlimited
              martlet admin users quota set ada --environments 10 --runtime-hours 200
              martlet admin users token create ada laptop --expires 30d
            """,
        subcommands: [
            List.self, Create.self, Show.self, Update.self, Suspend.self, Resume.self, AdminUserQuotaCommand.self,
            AdminUserTokenCommand.self,
        ], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List users.")
        @OptionGroup var list: ListOptions
        @Option(help: ArgumentHelp("What name or email begin with.", valueName: "text")) var search: String?
        @Option(help: "Only users of this role: user or admin.") var role: String?
        @Option(help: "Only users of this tier: free, pro or unlimited.") var tier: String?
        @Flag(inversion: .prefixedNo, help: "Only suspended ones, or only the others.") var suspended: Bool?

        func run() async throws {
            let query = [
                ("search", search), ("role", role), ("tier", tier), ("suspended", suspended.map { "\($0)" }),
            ]
            try await list.show(
                .user, query, paging: .last(parameter: "after"), whenEmpty: "There are no such users.")
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create a user, who has no token yet: 'martlet admin users token create'.")
        @OptionGroup var answer: AnswerOptions
        @Argument(help: "Their name.") var name: String
        @Option(help: "Their email.") var email: String?
        @Option(help: "What they are: user (usual) or admin.") var role: String?
        @Option(help: "What they may have: free (usual), pro or unlimited.") var tier: String?

        func run() async throws {
            let user = ["name": name, "email": email, "role": role, "tier": tier].compactMapValues(\.self)
            try await answer.show(.user, try await answer.client().create(Resource.user.path, json: user))
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a user, what they may have and have.")
        @OptionGroup var user: OneOptions

        func run() async throws {
            let answer = try await user.answer.client().call("GET", Resource.user.path(of: user.name))
            try await user.answer.show(answer) { answer, style in
                Resource.user.description(of: answer["user"] ?? .null, style) + "\n\n"
                    + QuotaTable.text(answer["quota"] ?? .null, overrides: answer["overrides"] ?? .null, style)
            }
        }
    }

    struct Update: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a user; their next call sees it.",
            discussion: "VMs that are there keep the size they were made with.")
        @OptionGroup var user: OneOptions
        @Option(help: ArgumentHelp("Another name.", valueName: "name")) var rename: String?
        @Option(help: "Another email.") var email: String?
        @Flag(help: "Take the email away.") var noEmail = false
        @Option(help: "What they are: user or admin.") var role: String?
        @Option(help: "What they may have: free, pro or unlimited.") var tier: String?

        func validate() throws {
            if noEmail, email != nil { throw ValidationError("'--no-email' contradicts '--email'.") }
        }

        func run() async throws {
            var change = ["name": rename, "email": email, "role": role, "tier": tier].compactMapValues {
                $0.map { JSONValue.string($0) }
            }
            if noEmail { change["email"] = .null }
            try await user.change(.user, change)
        }
    }

    struct Suspend: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Refuse a user's tokens from now on; their VMs are left alone.")
        @OptionGroup var user: OneOptions

        func run() async throws { try await user.act(.user, "suspend") }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a user's tokens again.")
        @OptionGroup var user: OneOptions

        func run() async throws { try await user.act(.user, "resume") }
    }
}

struct AdminUserTokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make, list and revoke a user's tokens.",
        subcommands: [List.self, Create.self, Revoke.self])

    private static func path(_ user: String) throws -> String { "\(try Resource.user.path(of: user))/tokens" }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List a user's tokens, newest first.")
        @OptionGroup var list: ListOptions
        @Argument(help: "The user's name or id.") var user: String

        func run() async throws {
            try await list.show(
                .token, at: try AdminUserTokenCommand.path(user), paging: .whole, whenEmpty: "They have no tokens.")
        }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make a token for a user and print it, once: the server keeps only its hash.")
        @OptionGroup var answer: AnswerOptions
        @Argument(help: "The user's name or id.") var user: String
        @OptionGroup var token: NewTokenOptions

        func run() async throws { try await token.create(at: try AdminUserTokenCommand.path(user), answer) }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a user's token; it stops working at once.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "The user's name or id.") var user: String
        @Argument(help: "The token's id.") var token: String

        func run() async throws {
            let path = "\(try AdminUserTokenCommand.path(user))/\(try APIClient.pathSegment(token))"
            try await server.client().call("DELETE", path)
        }
    }
}
