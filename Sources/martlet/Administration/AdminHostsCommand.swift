import ArgumentParser
import Client

struct AdminHostsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hosts", abstract: "Look after the machines that VMs are placed on.",
        discussion: """
            Before work on a host 'drain' it: nothing new is placed there, what runs there is stopped, and then it is \
            in state 'maintenance'. 'uncordon' takes it into use again.

            Examples:
              martlet admin hosts add fc-1 10.0.0.11 --vcpus 32 --memory 131072 --disk 2000000
              martlet admin hosts drain fc-1
              martlet admin hosts uncordon fc-1
            """,
        subcommands: [
            List.self, Add.self, Show.self, Cordon.self, Uncordon.self, Drain.self, Maintenance.self, Remove.self,
        ], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List hosts, by name.")
        @OptionGroup var list: ListOptions

        func run() async throws {
            try await list.show(
                .host, paging: .last(parameter: "after", fields: ["name"]),
                whenEmpty: "There are no hosts: 'martlet admin hosts add' adds one.")
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add a host; it takes environments at once.")
        @OptionGroup var answer: AnswerOptions
        @Argument(help: "Its name.") var name: String
        @Argument(help: "Where its agent is found.") var address: String
        @Option(help: ArgumentHelp("Processors it gives to VMs.", valueName: "n")) var vcpus: Int
        @Option(help: ArgumentHelp("Memory it gives to VMs.", valueName: "MB")) var memory: Int
        @Option(help: ArgumentHelp("Disk it gives to VMs.", valueName: "MB")) var disk: Int

        private struct Request: Encodable {
            let name: String
            let address: String
            let vcpus: Int
            let memoryMb: Int
            let diskMb: Int
        }

        func run() async throws {
            let host = Request(name: name, address: address, vcpus: vcpus, memoryMb: memory, diskMb: disk)
            try await answer.show(.host, try await answer.client().create(Resource.host.path, json: host))
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one.")
        @OptionGroup var host: OneOptions

        func run() async throws { try await host.show(.host) }
    }

    struct Cordon: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Place nothing more on one; what is there goes on as before.")
        @OptionGroup var host: OneOptions

        func run() async throws { try await host.act(.host, "cordon") }
    }

    struct Uncordon: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Place on one again.")
        @OptionGroup var host: OneOptions

        func run() async throws { try await host.act(.host, "uncordon") }
    }

    struct Drain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Stop what runs on one, and wait until it is in state 'maintenance'.")
        @OptionGroup var host: OneOptions
        @OptionGroup var waiting: Waiting

        func run() async throws {
            let transition = Transition(
                path: try Resource.host.path(of: host.name), field: Resource.host.one, logPath: nil,
                advice: "'martlet admin vms list --host \(host.name) --state running' lists what still runs there.")
            try await host.move(.host, "drain", waiting, transition, until: isIn("maintenance"))
        }
    }

    struct Maintenance: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Set one aside on which nothing runs.")
        @OptionGroup var host: OneOptions

        func run() async throws { try await host.act(.host, "maintenance") }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove one on which nothing lives.")
        @OptionGroup var server: ClientOptions
        @Argument(help: "Its name or id.") var name: String

        func run() async throws { try await server.client().call("DELETE", Resource.host.path(of: name)) }
    }
}
