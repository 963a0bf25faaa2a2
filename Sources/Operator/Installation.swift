package import Foundation

/// What a running `martlet up` says of itself in the file it holds locked: to a second one, and to gateways and workers
/// that want to use its servers.
package struct RunningInstallation: Codable, Sendable {
    package var pid: Int32
    package var startedAt: Date
    package var databaseURL: String?  // nil until its servers run
    package var redisURL: String?
    package var url: String?  // nil until it is ready

    package init(pid: Int32 = ProcessInfo.processInfo.processIdentifier, startedAt: Date = .now) {
        self.pid = pid
        self.startedAt = startedAt
    }
}

/// One data directory, used by one `martlet up` at a time.
package struct Installation: Sendable {
    package let directory: DataDirectory
    private let lock: FileLock

    /// Takes the directory. Throws `already_running`, naming the process that has it.
    package init(claiming directory: DataDirectory) async throws {
        try directory.prepare()
        // Not at the first try: `running(in:)` of another process holds it for an instant.
        guard let lock = try await FileLock.take(directory.lockPath, within: .milliseconds(200)) else {
            let other = Self.running(in: directory)
            throw OperatorError(
                .alreadyRunning,
                "Martlet is running already on '\(directory.path)'"
                    + (other.map { " (process \($0.pid)\($0.url.map { ", \($0)" } ?? ", not ready yet"))" } ?? "")
                    + ".",
                hint: "Use that one, stop it with Ctrl-C or 'kill \(other.map { String($0.pid) } ?? "PID")', "
                    + "or give this one another --data-dir and --port.")
        }
        self.directory = directory
        self.lock = lock
        try announce(RunningInstallation())
    }

    /// Writes down what others may know.
    package func announce(_ state: RunningInstallation) throws {
        let encoder = JSONEncoder()
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try lock.write(String(decoding: encoder.encode(state), as: UTF8.self) + "\n")
    }

    /// What the `martlet up` that has the directory says; nil if none has it.
    package static func running(in directory: DataDirectory) -> RunningInstallation? {
        guard let data = FileManager.default.contents(atPath: directory.lockPath) else { return nil }
        let isFree = (try? FileLock.take(directory.lockPath)) != nil
        if isFree { return nil }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try? decoder.decode(RunningInstallation.self, from: data)
    }
}
