import ArgumentParser
import Client

struct AdminQueuesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "queues", abstract: "Look after the queues that workers take their jobs from.",
        discussion: """
            Examples:
              martlet admin queues list
              martlet admin queues pause vm-provision
            """,
        subcommands: [List.self, Show.self, Pause.self, Resume.self, Drain.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the queues and how many jobs are in them.")
        @OptionGroup var list: ListOptions

        func run() async throws { try await list.show(.queue, paging: .whole, whenEmpty: "There are no queues.") }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show one and its workers.")
        @OptionGroup var queue: OneOptions

        func run() async throws { try await queue.show(.queue) }
    }

    struct Pause: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let no worker take a job until it is resumed; jobs under way end.")
        @OptionGroup var queue: OneOptions

        func run() async throws { try await queue.act(.queue, "pause") }
    }

    struct Resume: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let workers take jobs again.")
        @OptionGroup var queue: OneOptions

        func run() async throws { try await queue.act(.queue, "resume") }
    }

    struct Drain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove the jobs that wait.",
            discussion: "What an environment still waits for is added again within seconds.")
        @OptionGroup var queue: OneOptions
        @Flag(help: "Also those that wait for their time.") var delayed = false

        func run() async throws {
            let path = APIClient.path(
                "\(try Resource.queue.path(of: queue.name))/drain", [("delayed", delayed ? "true" : nil)])
            try await queue.answer.show(try await queue.answer.client().call("POST", path)) { answer, _ in
                "\(answer["removed"]?.text ?? "0") jobs removed"
            }
        }
    }
}
