import EventLoop
import Foundation
import Logging
package import PostgreSQL
import Synchronization
import Testing

/// One real PostgreSQL for all tests of the process, started at first use; each test has a database to itself.
///
///     @Test func rowsCount() async throws {
///         try await LivePostgres.withDatabase { pool in … }
///     }
///
/// It listens on a unix socket in its own directory, so no port can clash, and runs as user `postgres` where we are
/// root. It ends with this process, however that ends, and its directory with it. Where PostgreSQL is not installed
/// tests that ask for it are skipped with that reason, and fail if `CI` is `true`.
///
/// To create a database takes 0.3 s of a busy machine, to empty one a hundredth of that: so there are a few, lent to
/// one test after another, and tests wait their turn.
package enum LivePostgres {
    private struct Databases {
        var free: [String] = []
        var made = 0
        var line: [CheckedContinuation<String?, Never>] = []
    }

    private static let shared = Task { try await PostgresServer.start() }
    private static let databases = Mutex(Databases())
    private static let most = 6

    /// Whether this task holds a database already: to wait for a second one could be for ever.
    @TaskLocal private static var isNested = false

    /// Lends a pool on an empty database.
    package static func withDatabase<Value>(
        size: Int = 8, _ body: (PostgresPool) async throws -> Value
    ) async throws -> Value {
        try await withDatabaseURL { url in
            let pool = PostgresPool(url: url, size: size, logger: PostgresServer.logger)
            do {
                let value = try await body(pool)
                await pool.close()
                return value
            } catch {
                await pool.close()
                throw error
            }
        }
    }

    /// Lends the URL of an empty database. All sessions in it are ended afterwards.
    package static func withDatabaseURL<Value>(_ body: (String) async throws -> Value) async throws -> Value {
        try PostgresServer.requireInstalled()
        let server = try await shared.value
        let database = try await take(from: server)
        do {
            let value = try await $isNested.withValue(true) { try await body(server.url(database: database)) }
            await giveBack(database, to: server)
            return value
        } catch {
            await giveBack(database, to: server)
            throw error
        }
    }

    private static func take(from server: PostgresServer) async throws -> String {
        let isNested = isNested
        let free = await withCheckedContinuation { continuation in
            let grant: String?? = databases.withLock { databases in
                if let name = databases.free.popLast() { return name }
                if databases.made < most || isNested { return .some(nil) }
                databases.line.append(continuation)
                return nil
            }
            if let grant { continuation.resume(returning: grant) }
        }
        if let free { return free }
        let number = databases.withLock { databases in
            databases.made += 1
            return databases.made
        }
        try await server.administration.execute("create database \(raw: "test_\(number)")")
        return "test_\(number)"
    }

    private static func giveBack(_ database: String, to server: PostgresServer) async {
        // In a task of its own, so that a cancelled test cleans up too.
        let isEmpty = await Task { await empty(database, on: server) }.value
        let waiting: CheckedContinuation<String?, Never>? = databases.withLock { databases in
            if !databases.line.isEmpty { return databases.line.removeFirst() }
            if isEmpty { databases.free.append(database) } else { databases.made -= 1 }
            return nil
        }
        waiting?.resume(returning: isEmpty ? database : nil)
    }

    private static func empty(_ database: String, on server: PostgresServer) async -> Bool {
        let pool = PostgresPool(url: server.url(database: database), size: 1, logger: PostgresServer.logger)
        do {
            try await pool.withConnection {
                try await $0.script(
                    """
                    select pg_terminate_backend(pid, 10000) from pg_stat_activity
                    where datname = current_database() and pid <> pg_backend_pid();
                    do $$ declare schema text; begin
                        for schema in select nspname from pg_namespace
                            where nspname !~ '^pg_' and nspname <> 'information_schema'
                        loop execute format('drop schema %I cascade', schema); end loop;
                    end $$;
                    create schema public;
                    grant usage on schema public to public;
                    """)
            }
            await pool.close()
            return true
        } catch {
            PostgresServer.logger.error("Test database not emptied", metadata: ["reason": "\(error)"])
            await pool.close()
            return false
        }
    }
}

/// A PostgreSQL server as a child of this process. Tests that stop or restart one start their own.
package final class PostgresServer: Sendable {
    struct NotInstalled: Error, CustomStringConvertible {
        let description = "PostgreSQL is not installed (apt-get install postgresql)."
    }

    static let logger = Logger(label: "martlet.postgresql.test")

    package let directory: String
    package let administration: PostgresPool  // as superuser, on the database `postgres`
    private let child: ChildProcess

    /// Runs under the server's user. Ends the server on SIGTERM, which it also gets when this process dies; starts it
    /// again when it has ended and `restart` exists; removes the directory at the end.
    private static let script = """
        bin=$1 dir=$2
        trap 'stop=1; kill -QUIT $server' TERM
        "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale --no-sync --no-instructions || exit 1
        while [ -z "$stop" ]; do
            "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c max_connections=300 \\
                -c shared_buffers=32MB -c fsync=off -c synchronous_commit=off -c full_page_writes=off &
            server=$!
            wait $server
            rm "$dir/restart" || break
        done
        wait $server
        rm -rf "$dir"
        """

    private init(directory: String, child: ChildProcess) {
        self.directory = directory
        self.child = child
        administration = PostgresPool(url: Self.url(directory, "postgres"), size: 4, logger: Self.logger)
    }

    package func url(database: String) -> String { Self.url(directory, database) }

    private static func url(_ directory: String, _ database: String) -> String {
        "postgresql:///\(database)?host=\(directory)&user=postgres"
    }

    // MARK: Starting and stopping

    /// Cancels the test, saying why, if there is no PostgreSQL; fails it in CI.
    package static func requireInstalled() throws {
        guard binaries == nil else { return }
        let reason = NotInstalled()
        if ProcessInfo.processInfo.environment["CI"] == "true" { throw reason }
        try Test.cancel("\(reason)")
    }

    /// The programs of the newest version installed.
    private static let binaries: String? = {
        let root = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return versions.sorted { $0.compare($1, options: .numeric) == .orderedDescending }
            .map { "\(root)/\($0)/bin" }.first { FileManager.default.isExecutableFile(atPath: "\($0)/postgres") }
    }()

    package static func start() async throws -> PostgresServer {
        try requireInstalled()
        let directory = try makeTemporaryDirectory()
        var command = ChildProcess.Command("sh", ["-c", script, "sh", binaries ?? "", directory])
        command.endsWithParent = .terminate
        command.output = .appending(path: "\(directory)/log")
        command.error = .appending(path: "\(directory)/log")
        command.workingDirectory = "/"
        if geteuid() == 0 {
            command.user = "postgres"
            try FileManager.default.setAttributes([.ownerAccountName: "postgres"], ofItemAtPath: directory)
        }
        let server = PostgresServer(directory: directory, child: try await ChildProcess.start(command))
        do {
            try await server.awaitReady()
        } catch {
            let log = (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? ""
            await server.child.send(.terminate)
            throw NeverHappened(awaited: "PostgreSQL ready", limit: .seconds(60), lastSeen: "\(error), log: \(log)")
        }
        return server
    }

    private func awaitReady() async throws {
        try await eventually(
            within: .seconds(60), describing: "PostgreSQL ready",
            read: {
                do {
                    _ = try await administration.query("select 1")
                    return "ready"
                } catch let error as PostgresError {
                    return "\(error)"
                }
            }, until: { $0 == "ready" })
    }

    /// Ends all sessions, stops the server and starts it again; returns when it is ready.
    package func restart() async throws {
        let lines = try String(contentsOfFile: "\(directory)/data/postmaster.pid", encoding: .utf8).split(
            separator: "\n")
        guard let postmaster = lines.first.flatMap({ pid_t($0) }) else {
            throw NeverHappened(awaited: "number of the server's process", limit: .zero, lastSeen: "\(lines)")
        }
        try Data().write(to: URL(fileURLWithPath: "\(directory)/restart"))
        kill(postmaster, SIGINT)  // "fast shutdown"
        try await eventually(within: .seconds(60), describing: "end of PostgreSQL process \(postmaster)") {
            kill(postmaster, 0) != 0
        }
        try await awaitReady()
    }

    /// Ends the server; returns when it and its directory are gone.
    package func stop() async throws {
        await administration.close()
        await child.send(.terminate)
        _ = try await child.wait()
    }
}
