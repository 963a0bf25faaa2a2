import Foundation

/// What `ssh` is told of VMs: how they are called, how they are reached, and which host keys they have.
///
/// One's own VM is the host `martlet`, an environment `martlet-SLUG`. Both are reached by a `ProxyCommand`, so that nothing
/// listens anywhere for it. The host keys come from the server, in a file of their own, and are strictly checked: before a
/// connection's first byte the proxy writes there what the server says, so that a VM that was made anew is known at once.
package struct SSHClientFiles: Sendable {
    /// `$XDG_CONFIG_HOME/martlet`, or its like.
    package let directory: String
    /// What is called to reach a VM.
    package let program: String
    /// Of the server, where it is not the one of the credentials.
    package let url: String?

    package init(directory: String = Credentials.configurationDirectory(), program: String, url: String?) {
        self.directory = directory
        self.program = program
        self.url = url
    }

    package var knownHosts: String { "\(directory)/known_hosts" }
    package var configuration: String { "\(directory)/ssh_config" }

    package static let ownVM = "martlet"
    private static let prefix = "martlet-"

    package static func host(of environment: String?) -> String { environment.map { prefix + $0 } ?? ownVM }

    /// The environment of a host; nil: one's own VM.
    package static func environment(of host: String) -> String? {
        if host == ownVM { return nil }
        return host.hasPrefix(prefix) ? String(host.dropFirst(prefix.count)) : host
    }

    // MARK: Configuration

    /// Options of every host, as lines of ssh_config(5).
    private var options: [(name: String, value: String)] {
        let server = url.map { " --url " + Self.quoted($0) } ?? ""
        return [
            ("User", "martlet"), ("ProxyCommand", "\(Self.quoted(program)) ssh --proxy %n\(server)"),
            ("UserKnownHostsFile", "\"\(knownHosts.replacing("%", with: "%%"))\""),
            ("GlobalKnownHostsFile", "/dev/null"), ("StrictHostKeyChecking", "yes"), ("CheckHostIP", "no"),
            ("ServerAliveInterval", "30"),
        ]
    }

    /// What `ssh` takes on its command line.
    package var arguments: [String] { options.flatMap { ["-o", "\($0.name)=\($0.value)"] } }

    /// - Parameter environments: slugs; others are found by the pattern.
    package func text(environments: [String]) -> String {
        let hosts = [Self.ownVM] + environments.map { Self.host(of: $0) } + ["\(Self.prefix)env_*"]
        return """
            # Written by 'martlet ssh-config --write'. Yours is ~/.ssh/config, which includes this.
            Host \(hosts.joined(separator: " "))
            \(options.map { "    \($0.name) \($0.value)" }.joined(separator: "\n"))

            """
    }

    /// Writes the configuration and has `~/.ssh/config` include it: by its first line, for of each option ssh takes what it
    /// reads first. What else is there stays as it is. Returns whether it had to be changed.
    package func install(environments: [String], into userConfiguration: String) throws -> Bool {
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try Self.replace(configuration, with: text(environments: environments), mode: 0o600)
        let line = "Include \"\(configuration)\"\n"
        let place = URL(filePath: userConfiguration).resolvingSymlinksInPath().path(percentEncoded: false)
        let manager = FileManager.default
        let old = manager.contents(atPath: place).map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard !old.hasPrefix(line), !old.contains("\n\(line)") else { return false }
        try manager.createDirectory(
            atPath: (place as NSString).deletingLastPathComponent, withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let mode = (try? manager.attributesOfItem(atPath: place)[.posixPermissions] as? Int) ?? 0o600
        try Self.replace(place, with: line + (old.isEmpty ? "" : "\n") + old, mode: mode_t(mode))
        return true
    }

    // MARK: Host keys

    /// Notes the key of a host, in place of what was known of it. Waits for others who do the same.
    package func remember(_ host: String, hostKey: String) throws {
        guard !host.contains(where: { $0.isWhitespace || $0 == "," || $0 == "*" || $0 == "?" }), !host.isEmpty,
            !hostKey.contains(where: \.isNewline)
        else {
            throw ClientError(
                .refused, code: "invalid_name", message: "'\(host)' is no host.",
                hint: "Hosts are 'martlet' and 'martlet-SLUG'.")
        }
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let lock = open("\(knownHosts).lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        }
        let line = "\(host) \(hostKey)"
        let old = FileManager.default.contents(atPath: knownHosts).map { String(decoding: $0, as: UTF8.self) } ?? ""
        var lines = old.split(separator: "\n").map(String.init)
        if lines.contains(line) { return }
        lines.removeAll { $0.hasPrefix("\(host) ") }
        lines.append(line)
        try Self.replace(knownHosts, with: lines.joined(separator: "\n") + "\n", mode: 0o600)
    }

    // MARK: Files

    private static func replace(_ path: String, with text: String, mode: mode_t) throws {
        let new = "\(path).\(ProcessInfo.processInfo.processIdentifier)"
        let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
        let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        try file.write(contentsOf: Data(text.utf8))
        try file.close()
        guard rename(new, path) == 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    /// For the shell that runs a `ProxyCommand`, in which `%` is ssh's.
    private static func quoted(_ text: String) -> String {
        "'" + text.replacing("'", with: "'\\''").replacing("%", with: "%%") + "'"
    }
}
