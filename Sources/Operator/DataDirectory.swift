import Foundation

/// Where one installation keeps what it must not lose, and where its sockets are.
///
/// As root the directory is passable for others (0711) but nothing in it readable: PostgreSQL and Redis then run as
/// users of their own and have to reach their parts of it.
package struct DataDirectory: Sendable {
    package let path: String
    /// Sockets. Beside the data unless that makes a path longer than a socket address holds (107 bytes).
    package let runtimePath: String

    package var lockPath: String { "\(path)/lock" }
    package var masterKeyPath: String { "\(path)/master.key" }
    package var logPath: String { "\(path)/log" }
    package var localProviderPath: String { "\(path)/vms" }

    static let longestSocketPath = 107

    package init(path: String, environment: [String: String] = ProcessInfo.processInfo.environment) {
        let path = URL(filePath: path).standardizedFileURL.path(percentEncoded: false)
        self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
        let beside = "\(self.path)/run"
        if "\(beside)/\(EmbeddedPostgres.socketName)".utf8.count <= Self.longestSocketPath {
            runtimePath = beside
        } else {
            let name = "martlet-\(Self.fingerprint(self.path))"
            let runtime = environment["XDG_RUNTIME_DIR"].flatMap { $0.isEmpty ? nil : $0 }
            runtimePath = geteuid() == 0 ? "/run/\(name)" : "\(runtime ?? "/tmp")/\(name)"
        }
    }

    /// `$XDG_DATA_HOME/martlet`, else `~/.local/share/martlet`; for root, whose home others cannot reach,
    /// `/var/lib/martlet`.
    package static func standardPath(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return "\(data)/martlet" }
        if geteuid() == 0 { return "/var/lib/martlet" }
        return "\(environment["HOME"] ?? NSHomeDirectory())/.local/share/martlet"
    }

    /// Makes the directories that are missing. Throws `directory_unusable`.
    package func prepare() throws {
        let mode: mode_t = geteuid() == 0 ? 0o711 : 0o700
        try Self.make(path, mode: mode)
        try Self.make(runtimePath, mode: mode)
        try Self.make(logPath, mode: 0o700)
    }

    /// Makes a directory of that mode for that user, with its parents, or makes an existing one so. One that belongs to
    /// somebody else is refused: it may be a trap laid in a directory open to all.
    static func make(_ path: String, mode: mode_t, user: ServiceUser? = nil) throws {
        let owner = user?.userID ?? geteuid()
        var status = stat()
        if lstat(path, &status) != 0 {
            let parent = (path as NSString).deletingLastPathComponent
            do {
                try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            } catch {
                throw OperatorError(
                    .directoryUnusable, "'\(path)' cannot be made: \(error.localizedDescription)",
                    hint: "Give another directory with --data-dir.")
            }
            guard mkdir(path, mode) == 0 || errno == EEXIST, lstat(path, &status) == 0 else {
                throw OperatorError.unusable(path, errno)
            }
            if let user, geteuid() == 0, lchown(path, user.userID, user.groupID) == 0 { _ = lstat(path, &status) }
        }
        guard status.st_mode & S_IFMT == S_IFDIR, status.st_uid == owner else {
            throw OperatorError(
                .directoryUnusable, "'\(path)' is not a directory of \(user?.name ?? "yours").",
                hint: "Remove it, or give another directory with --data-dir.")
        }
        guard chmod(path, mode) == 0 else { throw OperatorError.unusable(path, errno) }
    }

    /// Eight hexadecimal digits that tell paths apart (FNV-1a); nothing secret depends on them.
    private static func fingerprint(_ text: String) -> String {
        var hash: UInt32 = 2_166_136_261
        for byte in text.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// A user of this machine that a server of ours runs as.
package struct ServiceUser: Sendable, Hashable {
    package let name: String
    let userID: uid_t
    let groupID: gid_t

    /// Nil if there is no such user.
    init?(named name: String) {
        guard let entry = getpwnam(name) else { return nil }
        self.name = name
        userID = entry.pointee.pw_uid
        groupID = entry.pointee.pw_gid
    }
}
