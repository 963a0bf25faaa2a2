import ArgumentParser
import Client

struct AdminUnknownVMsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unknown", abstract: "See and destroy VMs that a provider has and no environment knows.",
        discussion: """
            As the last comparison with each provider found them. They may be another installation's: nothing destroys \
            them by itself.

            Examples:
              martlet admin vms unknown list --provider docker
              martlet admin vms unknown destroy docker 4f2a9c
            """,
        subcommands: [List.self, Destroy.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List them.")
        @OptionGroup var list: ListOptions
        @Option(help: "Only those of this provider.") var provider: String?

        func run() async throws {
            try await list.show(
                .unknownVM, [("provider", provider)],
                paging: .last(parameter: "after", fields: ["provider", "instanceId"]),
                whenEmpty: "There are none: every VM at the providers is somebody's.")
        }
    }

    struct Destroy: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have one destroyed, once a worker has seen again that nobody knows it.")
        @OptionGroup var answer: AnswerOptions
        @Argument(help: "The provider that has it.") var provider: String
        @Argument(help: "The provider's own id of it, as 'list' shows it.") var instance: String
        @OptionGroup var confirmation: Confirmation

        func run() async throws {
            let path = "\(try Resource.unknownVM.path(of: provider))/\(try APIClient.pathSegment(instance))"
            try await confirmation.confirm("This removes the VM \(instance) at '\(provider)' and all files in it")
            try await answer.show(.unknownVM, try await answer.client().call("DELETE", path))
        }
    }
}
