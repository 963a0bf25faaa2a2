import Cryptography
import EventLoop
import Foundation

/// One VM as it is at this moment: read from its directory and the kernel at every question, never remembered.
struct LocalMachine: Sendable {
    let name: String
    let directory: VMDirectory
    let group: ControlGroup
    private let configuration: LocalProvider.Configuration

    init(name: String, configuration: LocalProvider.Configuration) throws(ProviderError) {
        guard let hierarchy = ControlGroupHierarchy.detect() else {
            throw ProviderError(
                .unavailable, "This machine offers no control groups for memory, cpu and pids.",
                hint: "Mount them: cgroup version 2 on /sys/fs/cgroup, or version 1 below it.")
        }
        self.name = name
        self.configuration = configuration
        directory = VMDirectory(state: configuration.stateDirectory, name: name)
        let scope = SHA256.hex(configuration.stateDirectory).prefix(8)
        group = ControlGroup(hierarchy: hierarchy, path: "/\(configuration.controlGroup)/\(scope)/\(name)")
    }

    static func scopeNumber(of state: String) -> UInt32 {
        SHA256.hash(state.utf8).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    // MARK: Looking

    var isKnown: Bool { Files.isDirectory(directory.path) }

    /// The VM's first process, if it lives.
    var initProcess: pid_t? {
        guard let text = Files.text(of: directory.processIdentifier),
            let identifier = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)), identifier > 0,
            group.holds(identifier)
        else { return nil }
        return identifier
    }

    var endpoint: VMEndpoint? {
        guard initProcess != nil, let port = directory.loadPort() else { return nil }
        return VMEndpoint(
            host: "127.0.0.1", port: port, user: Guest.user, runnerPort: Guest.runnerPort)
    }

    var status: VMStatus {
        guard isKnown else { return .missing }
        guard directory.loadRecord() != nil, let ids = directory.loadIDs() else { return .provisioning }
        if endpoint != nil { return .running }
        return HomeImage(directory: directory, ids: ids).isImage == nil ? .error : .stopped
    }

    var instance: VMInstance {
        VMInstance(
            id: VMInstance.ID(rawValue: name), name: name, state: status, createdAt: directory.loadRecord()?.createdAt)
    }

    // MARK: Ending

    /// Ends every process of the VM and removes what is only there while it runs. Takes some 10 s at most; gracefully
    /// or not, its processes are given no say in it. Does nothing to a VM that does not run.
    func end(gracefully: Bool) async throws {
        if let process = initProcess {
            if gracefully {
                kill(process, SIGTERM)
                try await poll(for: .seconds(3)) { !group.holds(process) }
            }
            if group.holds(process) { kill(process, SIGKILL) }
        }
        // With its init the kernel kills all of a pid namespace. A launcher cut short is not in one yet.
        let isEmpty = try await poll(for: .seconds(3)) {
            if group.members().isEmpty { return true }
            killMembers()
            return false
        }
        guard isEmpty else {
            throw ProviderError(
                .failed, "VM '\(name)' not stopped: a process of its does not die.",
                hint: "Look for it in the control group \(group.path).", isRetryable: true)
        }
        // The kernel may still be letting go of the last one.
        try await poll(for: .seconds(1)) { (try? group.remove()) != nil }
        try group.remove()
        unlink(directory.processIdentifier)
        try await forgetContainer()
    }

    func killMembers() {
        if let process = initProcess { kill(process, SIGKILL) }
        for member in group.members() where group.holds(member) { kill(member, SIGKILL) }
    }

    /// Has crun forget the container: it would not start another of that name.
    private func forgetContainer() async throws {
        guard Files.isDirectory("\(directory.runtimeState)/\(name)") else { return }
        var command = ChildProcess.Command(
            configuration.crun,
            ["--root=\(directory.runtimeState)", "--cgroup-manager=disabled", "delete", "--force", name])
        command.environment = Launcher.environment
        _ = try await ChildProcess.run(command, deadline: .seconds(3), limit: 4096)
        // One that was cut off while it made its note left one that it cannot read itself.
        if Files.isDirectory("\(directory.runtimeState)/\(name)") {
            try FileManager.default.removeItem(atPath: "\(directory.runtimeState)/\(name)")
        }
    }

    /// The kernel unmounts the home a moment after the last process has gone; a second mount must not meet it.
    func awaitUnmount(of home: HomeImage) async throws {
        guard home.isImage == true, home.isInUse else { return }
        guard try await poll(for: .seconds(5), until: { !home.isInUse }) else {
            throw ProviderError(
                .failed, "The home of VM '\(name)' is still mounted.",
                hint: "Look for its loop device: losetup --associated \(directory.homeImage)", isRetryable: true)
        }
    }

    /// In a process of its own: a home that is a directory can be large.
    func removeFiles() async throws {
        let result = try await ChildProcess.run(
            .init("rm", ["-rf", "--one-file-system", directory.path]), deadline: .seconds(120), limit: 4096)
        guard result.ending.isSuccess else {
            throw ProviderError(
                .failed, "The files of VM '\(name)' could not be removed: \(result.errorText)",
                hint: "Remove \(directory.path).")
        }
        rmdir(directory.runtimeState)
    }

    /// Looks every few milliseconds: neither control groups nor late unmounts tell when they are done.
    @discardableResult
    private func poll(for limit: Duration, until condition: () -> Bool) async throws -> Bool {
        let end = ContinuousClock.now + limit
        while !condition() {
            if ContinuousClock.now >= end { return false }
            try await Task.sleep(for: .milliseconds(3))
        }
        return true
    }
}
