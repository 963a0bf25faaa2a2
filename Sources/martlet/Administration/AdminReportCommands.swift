import ArgumentParser
import Client
import Foundation

struct AdminStatsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "Show the fleet at a glance: VMs, users, runs, hosts, queues.")
    @OptionGroup var answer: AnswerOptions

    func run() async throws {
        try await answer.show(try await answer.client().call("GET", "/v1/admin/stats")) { answer, style in
            FleetReport.text(answer["stats"] ?? .null, style)
        }
    }
}

struct AdminAuditCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit", abstract: "Search who did what to whom, newest first, what was refused too.",
        discussion: """
            Examples:
              martlet admin audit --user ada --since 2h
              martlet admin audit --action user. --actor-kind admin
              martlet admin audit --failed --since 2026-01-31T00:00:00Z --limit 1000
            """)

    @OptionGroup var list: ListOptions
    @Option(help: "To whose account or VM it was done: a name or id.") var user: String?
    @Option(help: "To which VM: a slug or id.") var vm: String?
    @Option(help: ArgumentHelp("Who: a user's id, a worker's name, a part of the system.", valueName: "id"))
    var actor: String?
    @Option(help: ArgumentHelp("What kind of who: user, admin, worker, …", valueName: "kind")) var actorKind: String?
    @Option(help: ArgumentHelp("What the action begins with.", valueName: "text")) var action: String?
    @Option(help: ArgumentHelp("What this request did.", valueName: "id")) var request: String?
    @Option(help: "What was refused with this code.") var code: String?
    @Flag(inversion: .prefixedNo, help: "Only what was refused or failed, or only what was done.") var failed: Bool?
    @Option(help: ArgumentHelp("From a time on: as 2026-01-31T12:00:00Z, or 2h for two hours ago.", valueName: "time"))
    var since: PointInTime?
    @Option(help: ArgumentHelp("Before a time.", valueName: "time")) var until: PointInTime?

    func run() async throws {
        let query = [
            ("user", user), ("vm", vm), ("actor", actor), ("actorKind", actorKind), ("action", action),
            ("request", request), ("code", code), ("failed", failed.map { "\($0)" }), ("since", since?.text),
            ("until", until?.text),
        ]
        try await list.show(
            .administrationAudit, query, paging: .last(parameter: "before"), whenEmpty: "Nothing of that kind was done."
        )
    }

    /// A moment, as ISO 8601 has it or so long ago.
    struct PointInTime: ExpressibleByArgument {
        let text: String

        init?(argument: String) {
            if let span = TimeSpan(argument: argument) {
                text = Date(timeIntervalSinceNow: -Double(span.milliseconds) / 1_000).formatted(.iso8601)
            } else if Quantity.moment(argument) != nil {
                text = argument
            } else {
                return nil
            }
        }
    }
}
