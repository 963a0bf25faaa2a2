import EventLoop
import Foundation
package import Logging

/// A private PostgreSQL: Debian's server, listening on a unix socket only that its own user can reach.
///
/// The cluster is made beside its place and renamed into it, so one whose making was cut off is never mistaken for
/// data. Access is by the socket directory's mode (0700): whoever may enter it is this user or root.
package struct EmbeddedPostgres: Sendable {
    static let socketName = "postgresql/.s.PGSQL.5432"
    private static let user = "martlet"  // the database's superuser, its role name
    private static let database = "martlet"

    private let directory: DataDirectory
    private let serviceUser: ServiceUser?
    private let logger: Logger
    private var dataPath: String { "\(directory.path)/postgresql/data" }
    private var socketPath: String { "\(directory.runtimePath)/postgresql" }

    /// For `PostgresPool`.
    package var url: String {
        let host = socketPath.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? socketPath
        return "postgresql:///\(Self.database)?host=\(host)&user=\(Self.user)"
    }

    /// Throws `program_missing` as root if the user `postgres` does not exist: the server refuses to run as root.
    package init(in directory: DataDirectory, logger: Logger) throws {
        self.directory = directory
        self.logger = logger
        serviceUser = geteuid() == 0 ? ServiceUser(named: "postgres") : nil
        if geteuid() == 0, serviceUser == nil {
            throw OperatorError(
                .programMissing, "PostgreSQL does not run as root, and there is no user 'postgres'.",
                hint: "apt-get install postgresql, or set DATABASE_URL.")
        }
    }

    /// Starts the server, making its cluster first where there is none, and lends it until `body` returns.
    package func withRunning<Result>(
        progress: (String) async -> Void = { _ in }, _ body: () async throws -> Result
    ) async throws -> Result {
        let programs = try programsDirectory()
        try DataDirectory.make(socketPath, mode: 0o700, user: serviceUser)
        try DataDirectory.make((dataPath as NSString).deletingLastPathComponent, mode: 0o700, user: serviceUser)
        try await checkReach()
        let server = server(programs: programs)
        return try await server.withRunning { lock in
            guard !FileManager.default.fileExists(atPath: "\(dataPath)/PG_VERSION") else { return }
            await progress("making the database cluster")
            try await makeCluster(server, programs: programs, lock: lock)
        } _: {
            try await body()
        }
    }

    private func server(programs: String) -> EmbeddedServer {
        let settings = [
            "listen_addresses=", "unix_socket_directories=\(socketPath)", "unix_socket_permissions=0700",
            "port=5432", "max_connections=200", "timezone=UTC", "log_timezone=UTC",
            "jit=off",  // costs more than it saves on short queries
        ]
        var command = ChildProcess.Command(
            "\(programs)/postgres", ["-D", dataPath] + settings.flatMap { ["-c", $0] })
        command.environment = environment
        command.workingDirectory = "/"
        command.user = serviceUser?.name
        return EmbeddedServer(
            name: "PostgreSQL", command: command,
            stopSignal: .interrupt,  // "fast": ends sessions and leaves a clean cluster
            lockPath: "\(directory.path)/postgresql.lock", logPath: "\(directory.logPath)/postgresql.log",
            logger: logger)
    }

    private func makeCluster(_ server: EmbeddedServer, programs: String, lock: FileLock) async throws {
        let new = dataPath + ".new"
        try? FileManager.default.removeItem(atPath: new)
        var initialise = ChildProcess.Command(
            "\(programs)/initdb",
            [
                "-D", new, "--username=\(Self.user)", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                "--no-instructions",
            ])
        initialise.environment = environment
        initialise.workingDirectory = "/"
        try await server.runTool(initialise, lock: lock, within: .seconds(120))
        // Single-user mode reads statements from standard input: the database exists before anybody can connect.
        var create = ChildProcess.Command(
            "/bin/sh",
            [
                "-c", #"printf '%s\n' "$1" | exec "$2" --single -D "$3" postgres"#, "sh",
                "CREATE DATABASE \(Self.database);", "\(programs)/postgres", new,
            ])
        create.environment = environment
        create.workingDirectory = "/"
        try await server.runTool(create, lock: lock, within: .seconds(60))
        guard rename(new, dataPath) == 0 else { throw OperatorError.unusable(dataPath, errno) }
    }

    /// Nothing of ours but what the server needs: a PGPORT or PGDATA of the caller's would mislead it.
    private var environment: [String: String] {
        ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/", "PGTZ": "UTC"]
    }

    /// The programs of the version the cluster was made with, or of the newest installed. Throws `program_missing`.
    private func programsDirectory() throws -> String {
        let files = FileManager.default
        let installed = (try? files.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        let versions = installed.filter {
            files.isExecutableFile(atPath: "/usr/lib/postgresql/\($0)/bin/initdb")
        }.sorted { $0.compare($1, options: .numeric) == .orderedDescending }
        let version = try? String(contentsOfFile: "\(dataPath)/PG_VERSION", encoding: .utf8)
        let wanted = version?.trimmingCharacters(in: .whitespacesAndNewlines)
        guard let chosen = wanted.map({ wanted in versions.first { $0 == wanted } }) ?? versions.first else {
            let what = wanted.map { "PostgreSQL \($0), which the data in '\(dataPath)' is of, is" } ?? "PostgreSQL is"
            throw OperatorError(
                .programMissing, "\(what) not installed.",
                hint: "apt-get install postgresql\(wanted.map { "-\($0)" } ?? ""), or set DATABASE_URL.")
        }
        return "/usr/lib/postgresql/\(chosen)/bin"
    }

    /// As root: whether the server's user can get to its directories at all.
    private func checkReach() async throws {
        guard let serviceUser else { return }
        for path in [socketPath, (dataPath as NSString).deletingLastPathComponent] {
            var test = ChildProcess.Command("/usr/bin/test", ["-w", path])
            test.user = serviceUser.name
            guard try await ChildProcess.run(test, deadline: .seconds(10)).ending.isSuccess else {
                throw OperatorError(
                    .directoryUnusable,
                    "PostgreSQL runs as user '\(serviceUser.name)', who cannot reach '\(path)'.",
                    hint: "Give a --data-dir whose parents others may pass (mode o+x); the standard one is.")
            }
        }
    }
}
