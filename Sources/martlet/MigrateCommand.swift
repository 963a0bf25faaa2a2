import ArgumentParser
import Fleet
import Logging
import Operator
import PostgreSQL

struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Bring the database up to date.",
        discussion: """
            'martlet up' does this itself. Run it before gateways and workers of a new version are started on a \
            database of your own; any number of times, by any number at once.
            """)

    @OptionGroup var options: ServerOptions
    @Flag(help: "Only list what would be done; exits with 1 if that is anything.") var check = false

    func run() async throws {
        let settings = try options.settings()
        let console = Console.standard(json: false)
        settings.logFormat.install(level: settings.logLevel ?? .notice, console: console)
        let (url, _) = try Servers.urls(settings)
        let database = PostgresPool(url: url, size: 2, logger: Logger(label: "martlet.migrate"))
        do {
            let migrator = Migrator(pool: database, migrations: Fleet.migrations)
            let migrations = check ? try await migrator.pending() : try await migrator.run()
            for migration in migrations {
                console.print("\(check ? "pending" : "applied") \(migration.number) \(migration.name)")
            }
            if migrations.isEmpty { console.print("The database is up to date.") }
            await database.close()
            if check, !migrations.isEmpty { throw ExitCode(1) }
        } catch {
            await database.close()
            throw error
        }
    }
}

/// Where the servers are that a command is to use.
enum Servers {
    /// Those of the settings, else those of the `martlet up` that runs on the data directory. Throws `not_running`.
    static func urls(_ settings: Settings) throws -> (database: String, redis: String) {
        let running = Installation.running(in: settings.dataDirectory)
        guard let database = settings.databaseURL ?? running?.databaseURL,
            let redis = settings.redisURL ?? running?.redisURL
        else {
            throw OperatorError(
                .notRunning, "There are no servers: 'martlet up' does not run on '\(settings.dataDirectory.path)'.",
                hint: "Start it, or set DATABASE_URL and REDIS_URL.")
        }
        return (database, redis)
    }
}
