import ArgumentParser
import Client
import Fleet
import Foundation
import Logging
import Operator
import PostgreSQL
import ServiceLifecycle

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start everything on this machine: servers, gateway, worker, and your first VM.",
        discussion: """
            PostgreSQL and Redis are started as private servers unless DATABASE_URL and REDIS_URL name others. The \
            first start makes an account with a token, which is kept in credentials.json for the other commands. \
            Ctrl-C stops everything, VMs included, a second one leaves at once. After a crash just start it again.
            """)

    @OptionGroup var listening: ListeningOptions
    @OptionGroup var options: ServerOptions
    @OptionGroup var working: WorkerOptions

    @Flag(inversion: .prefixedNo, help: "Make your VM right away, so that the first run is warm.")
    var provision = true

    @Flag(inversion: .prefixedNo, help: "Work on jobs in this process; without, start 'martlet worker' beside it.")
    var worker = true

    @Flag(help: "Print one JSON object for each step, and one when ready.")
    var json = false

    func run() async throws {
        let settings = try options.settings(listening, working)
        let console = Console.standard(json: json)
        settings.logFormat.install(level: settings.logLevel ?? .notice, console: console)
        try await console.reporting {
            try await Shutdown.withShutdown { isFirst in
                console.event(UpEvent(event: isFirst ? "stopping" : "forced"))
                console.print(
                    isFirst ? "Stopping; Ctrl-C again leaves at once, with VMs running." : "Leaving at once.")
            } _: { shutdown in
                try await up(settings, console, shutdown)
            }
        }
        console.event(UpEvent(event: "stopped"))
        console.print("Stopped.")
    }

    private func up(_ settings: Settings, _ console: Console, _ shutdown: Shutdown) async throws {
        let installation = try await Installation(claiming: settings.dataDirectory)
        try PortCheck.check(host: settings.host, port: settings.port)
        if worker {
            console.begin("Machine")
            let faults = await VMProviders.diagnose(settings)
            guard faults.isEmpty else {
                throw OperatorError(
                    .providerUnusable,
                    "VMs of '\(settings.providers.joined(separator: ","))' cannot run here: " + faults[0],
                    hint: faults.dropFirst().joined(separator: "\n  "))
            }
            console.finish(.done, "can run VMs")
        }
        try await withServers(settings, console) { database, redis in
            var state = RunningInstallation()
            state.databaseURL = database
            state.redisURL = redis
            try installation.announce(state)
            try await Wiring.withFleet(settings, database: database, redis: redis, mayMakeKey: true) { wiring in
                console.begin("Database")
                let migrations = try await Migrator(pool: wiring.fleet.database, migrations: Fleet.migrations).run()
                console.finish(.done, migrations.isEmpty ? "up to date" : "\(migrations.count) migrations applied")
                let account = try await Account.prepare(wiring.fleet, settings, console)
                console.begin("Gateway")
                let (ready, announceReady) = AsyncStream<String>.makeStream(bufferingPolicy: .bufferingNewest(1))
                var services = [wiring.authenticator]
                if worker {
                    services += [try wiring.worker(), AtShutdown { await rest(wiring, console) }]
                }
                services += try wiring.gatewayServices(drain: .seconds(5)) { url in
                    announceReady.yield(url)
                    announceReady.finish()
                }
                let serving = state
                services.append(
                    Background {
                        for await url in ready {
                            var state = serving
                            state.url = url
                            try await greet(state, account, installation, wiring, console)
                        }
                    })
                try await shutdown.serve(Wiring.group(services, logger: Logger(label: "martlet.services")))
            }
            console.begin("Servers")
        }
        console.finish(.done, "stopped")
    }

    /// Lends the URLs of the database and of Redis, started for it where the settings name none.
    private func withServers(
        _ settings: Settings, _ console: Console, _ body: (_ database: String, _ redis: String) async throws -> Void
    ) async throws {
        let logger = Logger(label: "martlet.servers")
        func withRedis(_ database: String) async throws {
            if let url = settings.redisURL { return try await body(database, url) }
            console.begin("Redis")
            let redis = EmbeddedRedis(in: settings.dataDirectory, logger: logger)
            try await redis.withRunning {
                console.finish(.done)
                try await body(database, redis.url)
            }
        }
        if let url = settings.databaseURL { return try await withRedis(url) }
        console.begin("PostgreSQL")
        let postgres = try EmbeddedPostgres(in: settings.dataDirectory, logger: logger)
        try await postgres.withRunning {
            console.detail($0)
        } _: {
            console.finish(.done)
            try await withRedis(postgres.url)
        }
    }

    /// Says that all is ready and how to use it, then makes the owner's VM if there is none.
    private func greet(
        _ state: RunningInstallation, _ account: Account, _ installation: Installation, _ wiring: Wiring,
        _ console: Console
    ) async throws {
        let url = state.url ?? ""
        try installation.announce(state)
        let credentials = try await account.save(url: url)
        console.finish(.done, url)
        let authorization = Credentials.authorizationPath(beside: credentials)
        let page = await signInPage(url, account, wiring)
        console.event(
            UpEvent(
                event: "ready", url: url, pid: state.pid, dataDirectory: installation.directory.path,
                credentials: credentials, authorization: authorization,
                // Of servers started here only: others' URLs may hold passwords.
                databaseURL: wiring.settings.databaseURL == nil ? state.databaseURL : nil,
                redisURL: wiring.settings.redisURL == nil ? state.redisURL : nil, signIn: page))
        let otherwise =
            credentials == Credentials.standardPath()
            ? ""
            : "\n         (the usual file is of another server: export MARTLET_CREDENTIALS=\(shellQuoted(credentials)))"
        console.print(
            """

            Martlet runs at \(url) (process \(state.pid), Ctrl-C stops it).
              data   \(installation.directory.path)
              token  \(credentials)\(otherwise)
              pages  \(page)

            Try:
              curl -sN -H @\(shellQuoted(authorization)) \(url)/v1/execute \\
                -d '{"language": "python", "code": "print(6 * 7)"}'

            """)
        if provision, worker { await FirstVM.make(for: account, wiring, console) }
    }

    /// Where the owner signs in by one click, once and within ten minutes.
    private func signInPage(_ url: String, _ account: Account, _ wiring: Wiring) async -> String {
        guard let caller = try? await wiring.fleet.authenticator.authenticate(account.admin.token),
            let code = try? await wiring.fleet.webSessions.makeCode(for: caller.tokenID)
        else { return "\(url)/login" }
        return "\(url)/login?code=\(code)"
    }

    private func rest(_ wiring: Wiring, _ console: Console) async {
        console.begin("VMs")
        do {
            let left = try await FleetRest.stopAll(
                of: wiring.settings.providers, in: wiring.fleet, within: .seconds(30),
                logger: Logger(label: "martlet.up"))
            console.finish(
                left.isEmpty ? .done : .failed,
                left.isEmpty ? "stopped" : "\(left.count) still run; the next 'martlet up' takes them over")
        } catch {
            console.finish(.failed, "\(error)")
        }
    }

    private func shellQuoted(_ path: String) -> String {
        let plain = path.utf8.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte
                || UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte || "/._-+,:@%".utf8.contains(byte)
        }
        return plain ? path : "'" + path.replacing("'", with: "'\\''") + "'"
    }
}

/// What `--json` prints besides steps.
struct UpEvent: Encodable {
    let event: String
    var url: String?
    var pid: Int32?
    var dataDirectory: String?
    var credentials: String?
    var authorization: String?
    var databaseURL: String?
    var redisURL: String?
    var signIn: String?
    var message: String?
}
