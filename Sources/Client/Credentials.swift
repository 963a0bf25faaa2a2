import Foundation

/// Which server to call and with which token, kept in one file of mode 0600. Beside it lies a file `authorization`
/// with the same token as a header line, for `curl -H @FILE`: so it is neither on the screen nor in a process list.
package struct Credentials: Codable, Sendable, Equatable {
    package var url: String
    package var token: String
    package var installation: String?  // which `martlet up` wrote it; nil if a person did

    package init(url: String, token: String, installation: String? = nil) {
        self.url = url
        self.token = token
        self.installation = installation
    }

    /// `$MARTLET_CREDENTIALS`, else `credentials.json` in the configuration directory.
    package static func standardPath(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
        if let path = environment["MARTLET_CREDENTIALS"], !path.isEmpty { return path }
        return "\(configurationDirectory(environment))/credentials.json"
    }

    /// `$XDG_CONFIG_HOME/martlet`, else `~/.config/martlet`; under sudo, of the user who called it.
    package static func configurationDirectory(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> String {
        if let directory = environment["XDG_CONFIG_HOME"], directory.hasPrefix("/") { return "\(directory)/martlet" }
        let home = caller(environment)?.home ?? environment["HOME"] ?? NSHomeDirectory()
        return "\(home)/.config/martlet"
    }

    private struct Caller {
        let userID: uid_t
        let groupID: gid_t
        let home: String
    }

    /// Who called sudo; nil without sudo.
    private static func caller(
        _ environment: [String: String] = ProcessInfo.processInfo.environment
    ) -> Caller? {
        guard geteuid() == 0, let number = environment["SUDO_UID"].flatMap({ uid_t($0) }), number != 0,
            let entry = getpwuid(number)
        else { return nil }
        return Caller(
            userID: number, groupID: entry.pointee.pw_gid, home: String(cString: entry.pointee.pw_dir))
    }

    package static func authorizationPath(beside path: String) -> String {
        ((path as NSString).deletingLastPathComponent as NSString).appendingPathComponent("authorization")
    }

    /// Nil if there is no such file. Throws if it cannot be read or is not what ``save(to:)`` writes.
    package static func load(from path: String) throws -> Credentials? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            return try JSONDecoder().decode(Credentials.self, from: Data(contentsOf: URL(filePath: path)))
        } catch {
            throw ClientError(
                .notAllowed, code: "credentials_unreadable", message: "'\(path)' is not a file of credentials.",
                hint: "Remove it: 'martlet up' writes a new one.")
        }
    }

    package func save(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // What lies in a caller's own configuration is theirs, also when sudo made us root.
        let owner = Self.caller().flatMap { path.hasPrefix("\($0.home)/") ? $0 : nil }
        try Self.makeDirectory((path as NSString).deletingLastPathComponent, owner: owner)
        let files = [
            (path, try encoder.encode(self) + Data("\n".utf8)),
            (Self.authorizationPath(beside: path), Data("Authorization: Bearer \(token)\n".utf8)),
        ]
        for (file, data) in files { try Self.replace(file, with: data, owner: owner) }
    }

    private static func makeDirectory(_ path: String, owner: Caller?) throws {
        if FileManager.default.fileExists(atPath: path) { return }
        try makeDirectory((path as NSString).deletingLastPathComponent, owner: owner)
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
        if let owner { lchown(path, owner.userID, owner.groupID) }
    }

    /// Writes a file of mode 0600 beside the old one and renames it over: no reader sees half of it.
    private static func replace(_ path: String, with data: Data, owner: Caller?) throws {
        let new = "\(path).\(ProcessInfo.processInfo.processIdentifier)"
        let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        if let owner { fchown(descriptor, owner.userID, owner.groupID) }
        try file.write(contentsOf: data)
        try file.close()
        guard rename(new, path) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }
}
