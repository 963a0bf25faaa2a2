import EventLoop
import Foundation
package import Logging

/// A private Redis: Debian's server on a unix socket, keeping an append-only file synced once a second, and refusing
/// writes rather than dropping keys when memory is full.
package struct EmbeddedRedis: Sendable {
    private let directory: DataDirectory
    private let serviceUser: ServiceUser?
    private let logger: Logger
    private var socketPath: String { "\(directory.runtimePath)/redis/redis.sock" }
    private var dataPath: String { "\(directory.path)/redis" }

    /// For `RedisClient`.
    package var url: String { "unix://\(socketPath)" }

    package init(in directory: DataDirectory, logger: Logger) {
        self.directory = directory
        self.logger = logger
        serviceUser = geteuid() == 0 ? ServiceUser(named: "redis") : nil
    }

    /// Starts the server and lends it until `body` returns. Throws `program_missing` or `server_failed`.
    package func withRunning<Result>(_ body: () async throws -> Result) async throws -> Result {
        guard let program = Self.program else {
            throw OperatorError(
                .programMissing, "Redis is not installed.", hint: "apt-get install redis-server, or set REDIS_URL.")
        }
        try DataDirectory.make((socketPath as NSString).deletingLastPathComponent, mode: 0o700, user: serviceUser)
        try DataDirectory.make(dataPath, mode: 0o700, user: serviceUser)
        var command = ChildProcess.Command(
            program,
            [
                "--port", "0", "--unixsocket", socketPath, "--unixsocketperm", "700", "--dir", dataPath,
                "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
                "--maxmemory-policy", "noeviction", "--daemonize", "no", "--supervised", "systemd",
            ])
        command.environment = ["PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"]
        command.workingDirectory = "/"
        command.user = serviceUser?.name
        let server = EmbeddedServer(
            name: "Redis", command: command, stopSignal: .terminate, lockPath: "\(directory.path)/redis.lock",
            logPath: "\(directory.logPath)/redis.log", logger: logger)
        return try await server.withRunning(body)
    }

    static var program: String? {
        ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].first(
            where: FileManager.default.isExecutableFile(atPath:))
    }
}
