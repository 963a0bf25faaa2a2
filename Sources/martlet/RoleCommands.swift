import ArgumentParser
import Foundation
import Logging
import Operator
import ServiceLifecycle

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Answer calls over HTTP.",
        discussion: """
            Any number of gateways share a database and a Redis: those of DATABASE_URL and REDIS_URL, else those of \
            the 'martlet up' that runs on the data directory. All need the same master key.
            """)

    @OptionGroup var listening: ListeningOptions
    @OptionGroup var options: ServerOptions
    @Flag(help: "Print one JSON object when ready.") var json = false

    func run() async throws {
        let settings = try options.settings(listening)
        try await serve(settings, role: "Gateway", json: json) { wiring, console in
            try PortCheck.check(host: settings.host, port: settings.port)
            return [wiring.authenticator]
                + (try wiring.gatewayServices(drain: .seconds(30)) { url in ready(console, "Gateway", url: url) })
        }
    }
}

struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker",
        abstract: "Make, start, stop and destroy VMs, as the queues say.",
        discussion: """
            Any number of workers share a database and a Redis: those of DATABASE_URL and REDIS_URL, else those of the \
            'martlet up' that runs on the data directory. All need the same master key. VMs of the provider 'local' \
            live on the machine of their worker, so there is one worker for them.
            """)

    @OptionGroup var options: ServerOptions
    @OptionGroup var working: WorkerOptions
    @Option(
        help: ArgumentHelp(
            "Serve /metrics and /healthz on this port of the address MARTLET_HOST, 0 for any free one.",
            valueName: "port"))
    var metricsPort: Int?
    @Flag(help: "Print one JSON object when ready.") var json = false

    func run() async throws {
        let metricsPort = metricsPort
        try await serve(try options.settings(nil, working), role: "Worker", json: json) { wiring, console in
            let worker = try wiring.worker()
            guard let metricsPort else { return [worker, Background { ready(console, "Worker", url: nil) }] }
            try PortCheck.check(host: wiring.settings.host, port: metricsPort)
            return [
                wiring.authenticator, worker,
                try wiring.metrics(port: metricsPort) { url in ready(console, "Worker", url: url) },
            ]
        }
    }
}

/// Runs the services that `services` makes, until a signal or a failure.
private func serve(
    _ settings: Settings, role: String, json: Bool,
    _ services: @escaping @Sendable (Wiring, Console) async throws -> [any Service]
) async throws {
    let console = Console.standard(json: json)
    settings.logFormat.install(level: settings.logLevel ?? .info, console: console)
    let (database, redis) = try Servers.urls(settings)
    try await Shutdown.withShutdown { isFirst in
        console.event(UpEvent(event: isFirst ? "stopping" : "forced"))
        console.print(isFirst ? "Stopping; Ctrl-C again leaves at once." : "Leaving at once.")
    } _: { shutdown in
        try await Wiring.withFleet(settings, database: database, redis: redis, mayMakeKey: false) { wiring in
            let pending = try await wiring.pendingMigrations()
            guard pending.isEmpty else {
                throw OperatorError(
                    .notRunning, "The database lacks migrations: \(pending.joined(separator: ", ")).",
                    hint: "Run 'martlet migrate' first.")
            }
            let group = Wiring.group(try await services(wiring, console), logger: Logger(label: "martlet.services"))
            try await shutdown.serve(group)
        }
    }
    console.event(UpEvent(event: "stopped"))
}

private func ready(_ console: Console, _ role: String, url: String?) {
    console.event(UpEvent(event: "ready", url: url, pid: ProcessInfo.processInfo.processIdentifier))
    console.print("\(role) is ready\(url.map { " at \($0)" } ?? "").")
}
