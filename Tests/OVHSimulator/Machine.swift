import EventLoop
import Foundation

/// A machine that honours its user data: this one's file system with a writable layer of its own over it, in mount,
/// process, network and name spaces of its own. So it has its own loopback, `/etc`, users, SSH server and runner, and
/// keeps its layer when it is stopped. What it is not: another kernel, and a wall. Its programs see this machine's
/// files as far as their user may; only its own address leads into it, and none out of it.
///
/// Its init is bash, cloud-init and systemctl are short programs (``MachinePrograms``) that know what Martlet's user data
/// uses. sshd is started for each connection, by `nsenter`.
actor Machine {
    private let directory: String
    private let name: String
    private let userData: String
    private var process: ChildProcess?
    private var initProcess: Int32?

    init(directory: String, name: String, userData: String) {
        self.directory = directory
        self.name = name
        self.userData = userData
    }

    private var layer: String { "\(directory)/upper" }
    private var bootMark: String { "\(layer)/var/lib/cloud/booted" }

    /// What is missing on this machine, each with what to do.
    package static var problems: [String] {
        var problems: [String] = []
        if geteuid() != 0 { problems.append("It needs root: for namespaces, overlay mounts and sshd.") }
        for (program, package) in [
            ("/usr/sbin/sshd", "openssh-server"), ("/usr/bin/unshare", "util-linux"), ("/usr/bin/python3", "python3"),
            ("/usr/sbin/useradd", "passwd"),
        ] where access(program, X_OK) != 0 {
            problems.append("\(program) is missing. Install the Debian package \(package).")
        }
        if let systems = try? String(contentsOfFile: "/proc/filesystems", encoding: .utf8), !systems.contains("overlay")
        {
            problems.append("The kernel has no overlay file system. Load it: modprobe overlay")
        }
        return problems
    }

    /// Returns when its init has done its work; cloud-init, at the first boot, included.
    func boot() async throws {
        if !FileManager.default.fileExists(atPath: layer) { try furnish() }
        unlink(bootMark)
        var command = ChildProcess.Command(
            "unshare",
            [
                "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child=KILL",
                "--propagation", "private", "sh", "-c", MachinePrograms.enter, "sh", directory, name,
            ])
        command.output = .appending(path: "\(directory)/console.log")
        command.error = .appending(path: "\(directory)/console.log")
        command.endsWithParent = .kill
        let process = try await ChildProcess.start(command)
        self.process = process
        let mark = bootMark
        do {
            try await withDeadline(.seconds(60), "boot of '\(name)'") {
                while access(mark, F_OK) != 0 {
                    guard kill(process.processIdentifier, 0) == 0 else { throw BootFailed() }
                    try await Task.sleep(for: .milliseconds(10))  // the pace of looking
                }
            }
            let children = "/proc/\(process.processIdentifier)/task/\(process.processIdentifier)/children"
            let text = (try? String(contentsOfFile: children, encoding: .utf8)) ?? ""
            guard let first = text.split(separator: " ").first.flatMap({ Int32($0) }) else { throw BootFailed() }
            initProcess = first
        } catch {
            let said = (try? String(contentsOfFile: "\(directory)/console.log", encoding: .utf8)) ?? ""
            throw MachineError(description: "instance '\(name)' did not boot: \(error). \(said.suffix(2000))")
        }
    }

    private struct BootFailed: Error, CustomStringConvertible { let description = "its init ended" }

    struct MachineError: Error, CustomStringConvertible { let description: String }

    /// Kills all of it at once.
    func halt() async {
        guard let process else { return }
        self.process = nil
        initProcess = nil
        await process.send(.kill)
        _ = await Task { try await process.wait() }.result  // also for a caller that is cancelled
    }

    /// Gives the connection to an SSH server inside, and closes it here.
    func converse(_ connection: Int32) async {
        defer { close(connection) }
        guard let initProcess else { return }
        var command = ChildProcess.Command(
            "nsenter",
            [
                "--target", String(initProcess), "--mount", "--pid", "--net", "--uts", "--ipc",
                "/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/sshd_config",
            ])
        command.input = .descriptor(connection)
        command.output = .descriptor(connection)
        command.error = .appending(path: "\(directory)/sshd.log")
        command.endsWithParent = .kill
        guard let process = try? await ChildProcess.start(command) else { return }  // the client sees it hang up
        do {
            _ = try await process.wait()
        } catch {
            await process.send(.kill)
            _ = await Task { try await process.wait() }.result
        }
    }

    /// What is in its layer before the first boot.
    private func furnish() throws {
        for part in ["upper", "work", "merged"] { try make("\(directory)/\(part)") }
        func write(_ path: String, _ text: String, mode: Int) throws {
            let whole = layer + path
            try make((whole as NSString).deletingLastPathComponent)
            try Data(text.utf8).write(to: URL(filePath: whole))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: whole)
        }
        try write("/usr/bin/systemctl", MachinePrograms.systemctl, mode: 0o755)
        try write("/usr/lib/ovh-simulator/init", MachinePrograms.start, mode: 0o755)
        try write("/usr/lib/ovh-simulator/cloud-init", MachinePrograms.cloudInit, mode: 0o755)
        try write("/etc/ssh/sshd_config", MachinePrograms.sshd, mode: 0o644)
        try write("/var/lib/cloud/user-data", userData, mode: 0o600)
    }

    private func make(_ path: String) throws {
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
    }
}
