import ArgumentParser
import Client
import Foundation
import Logging
import Operator

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Look at everything from this machine to the runner in each VM, and say what to do.",
        discussion: """
            Nothing is changed. Exits with 1 if anything fails. On a machine with servers of your own, give it \
            DATABASE_URL, REDIS_URL and the master key as gateways and workers have them.

            With --attack it makes an environment, attacks from within it the walls that runs are kept in by, one \
            attack after the other, and destroys it again. That takes minutes and the whole of that VM.
            """)

    @OptionGroup var options: ServerOptions
    @OptionGroup var server: ClientOptions
    @Flag(help: "Attack the walls around runs instead, in an environment made for it.") var attack = false
    @Option(
        help: ArgumentHelp("With --attack: only this one, or those of this class; repeatable.", valueName: "name"))
    var only: [String] = []
    @Flag(help: "Print one JSON object a finding.") var json = false

    func validate() throws {
        if !only.isEmpty, !attack { throw ValidationError("'--only' belongs to '--attack'.") }
    }

    func run() async throws {
        let settings = try options.settings()
        let console = Console.standard(json: json)
        settings.logFormat.install(level: settings.logLevel ?? .critical, console: console)  // findings say it all
        let logger = Logger(label: "martlet.doctor")
        let url = server.url ?? Installation.running(in: settings.dataDirectory)?.url
        if attack {
            let attacks = AttackReport(
                client: try APIClient.standard(url: url), provider: options.provider, directory: settings.attacks,
                server: Installation.running(in: settings.dataDirectory)?.pid, console: console)
            guard try await attacks.make(only: only) else { throw ExitCode(1) }
            return
        }
        let doctor = Doctor(
            settings: settings, gateway: (try? APIClient.standard(url: url)).map(APIProbe.init),
            providers: { try VMProviders.makeAll(settings, logger: logger) },
            diagnoseProvider: { await VMProviders.diagnose(settings) },
            describeProvider: { await VMProviders.describe($0, settings) },
            diagnoseNetwork: { VMProviders.diagnoseNetwork(settings) }, logger: logger)
        let isColored = isatty(1) == 1
        let isHealthy = try await doctor.examine { finding in
            console.event(finding)
            console.print(line(finding, isColored: isColored))
        }
        if !isHealthy { throw ExitCode(1) }
    }

    private func line(_ finding: Finding, isColored: Bool) -> String {
        let color =
            switch finding.verdict {
            case .ok: "32"
            case .warn: "33"
            case .fail: "31"
            }
        let word = finding.verdict.rawValue.padding(toLength: 4, withPad: " ", startingAt: 0)
        let mark = isColored ? "\u{1B}[\(color)m\(word)\u{1B}[0m" : word
        return "\(mark)  \(finding.check): \(finding.message)" + (finding.hint.map { "\n      \($0)" } ?? "")
    }
}

/// The doctor's look at the HTTP API.
private struct APIProbe: GatewayProbe {
    let client: APIClient
    var url: String { client.url }

    func checkHealth() async throws {
        try await client.call("GET", "/readyz", timeout: .seconds(10))
    }

    func checkToken() async throws {
        try await client.call("GET", "/v1/vm", timeout: .seconds(10))
    }
}
