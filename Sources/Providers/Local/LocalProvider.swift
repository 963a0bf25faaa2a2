import EventLoop
import Foundation
package import Logging

/// VMs on this machine: containers of `crun` with the machine's own `/usr`, read-only.
///
/// A VM is a directory under the state directory (``VMDirectory``): what `create` was given, its home, its range of
/// user ids, its port. While it runs it is, besides, a control group with processes in it; there is nothing else to
/// ask, and nothing else to lose: whether it runs is whether the process named in `init.pid` lives in that group.
///
/// `start` writes the bundle, binds a loopback listener, and launches the container with the listener as descriptor 3
/// (``Launcher``). The VM has its own user, mount, pid, ipc, uts, cgroup and network namespaces; the listener is the
/// one thing in it that belongs to the machine's network. Home and tree are mounted in the VM's mount namespace only,
/// and processes live in its pid namespace: when its init dies, in whatever way, the kernel takes all of it down, and
/// what remains are empty control groups and crun's note, which the next `start`, `stop` or `destroy` removes.
///
/// Operations on one VM take turns (``Turnstile``), also between processes. Each looks at what is there before it acts.
package final class LocalProvider: VMProvider {
    package struct Configuration: Sendable {
        package var stateDirectory: String
        package var runner: String  // the program built from sandbox/
        /// What gives runs a way to the internet; built beside the runner where its library is. See ``egressProblem``.
        package var egress: String
        /// What else it must not reach: ranges of addresses, as "203.0.113.0/24" or "2001:db8::/32".
        package var egressDenied: [String] = []
        package var runtimes: String  // the folder of languages
        package var sshd = "/usr/sbin/sshd"  // below /usr
        package var crun = "crun"
        package var controlGroup = "martlet"  // below the roots of this machine's control groups
        package var startTimeout: Duration = .seconds(20)
        package var homes = Homes.imageWherePossible
        /// What languages read outside of `/usr`: the `paths` of the folders in ``runtimes``, read once.
        var languagePaths: [String] = []

        package enum Homes: Sendable {
            case imageWherePossible
            case directory
        }

        package init(stateDirectory: String, runner: String, runtimes: String) {
            self.stateDirectory = stateDirectory
            self.runner = runner
            egress = (runner as NSString).deletingLastPathComponent + "/martlet-egress"
            self.runtimes = runtimes
        }
    }

    private static let logLimit = 4 << 20
    /// Among the VM's own ids one that nobody in it has.
    private static let egressUser: UInt32 = 65_000

    package let kind = ProviderKind.local
    let configuration: Configuration
    private let logger: Logger
    private let turnstile: Turnstile

    package init(configuration: Configuration, logger: Logger) {
        var configuration = configuration
        configuration.stateDirectory = realPath(configuration.stateDirectory)
        configuration.runner = realPath(configuration.runner)
        configuration.egress = realPath(configuration.egress)
        configuration.runtimes = realPath(configuration.runtimes)
        configuration.languagePaths = Self.languagePaths(configuration.runtimes)
        self.configuration = configuration
        self.logger = logger
        turnstile = Turnstile(
            directory: "\(configuration.stateDirectory)/.locks", patience: configuration.startTimeout + .seconds(10))
    }

    private static func languagePaths(_ runtimes: String) -> [String] {
        struct Language: Decodable { var paths: [String]? }
        let paths = Files.names(in: runtimes).flatMap { folder in
            Files.bytes(of: "\(runtimes)/\(folder)/runtime.json")
                .flatMap { try? JSONDecoder().decode(Language.self, from: Data($0)) }?.paths ?? []
        }
        return Set(paths).sorted()
    }

    // MARK: VMProvider

    package func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try spec.validate()
        try Files.makeDirectory(configuration.stateDirectory, mode: 0o700)
        let vm = try machine(spec.name)
        return try await turn(vm) { _ in
            try Files.makeDirectory(vm.directory.path, mode: 0o700)
            let ids = try await self.allocateIDs(for: vm)
            let home = HomeImage(directory: vm.directory, ids: ids)
            if home.isImage == nil {
                let asImage = HomeImage.isSupported && self.configuration.homes == .imageWherePossible
                if !asImage {
                    await log.write(
                        .warning, "No loop devices here: the home is a directory, whose size the runner watches")
                }
                await log.write(.info, "Making a home of \(spec.diskMb) MB")
                try await home.make(megabytes: spec.diskMb, asImage: asImage)
            }
            if vm.initProcess == nil {  // else at the next start: a running VM has the tree mounted
                try self.bundle(of: vm, spec, ids, home).write()
            }
            let createdAt = vm.directory.loadRecord()?.createdAt ?? Date()
            try vm.directory.save(VMDirectory.Record(spec: spec, createdAt: createdAt))
            await log.write(.info, "VM \(spec.name) is there: \(spec.vcpus) vCPU, \(spec.memoryMb) MB memory")
            return vm.instance
        }
    }

    package func start(_ id: VMInstance.ID) async throws -> VMEndpoint { try await start(id, network: nil) }

    package func start(_ id: VMInstance.ID, network: Bool, log: ProvisionLog) async throws -> VMEndpoint {
        if network, let problem = configuration.egressProblem {
            await log.write(.warning, "Runs in this VM will have no network. \(problem)")
        }
        return try await start(id, network: network)
    }

    /// - Parameter network: `nil`: as it was made, or as the last start said.
    private func start(_ id: VMInstance.ID, network: Bool?) async throws -> VMEndpoint {
        let vm = try machine(id)
        guard vm.isKnown else { throw ProviderError.missing(id) }
        return try await turn(vm) { lock in
            guard var record = vm.directory.loadRecord(), let ids = vm.directory.loadIDs() else {
                throw ProviderError.missing(id)
            }
            let home = HomeImage(directory: vm.directory, ids: ids)
            guard let hasImage = home.isImage else {
                throw ProviderError(
                    .failed, "VM '\(id)' not started: its home is gone.", hint: "Destroy the VM and make it anew.")
            }
            if let endpoint = vm.endpoint, try await self.answers(vm, port: endpoint.port, within: .seconds(5)) {
                return endpoint
            }
            try await vm.end(gracefully: false)
            try await vm.awaitUnmount(of: home)
            if let network, network != record.spec.network {
                record.spec.network = network
                try vm.directory.save(record)
            }
            do {
                return try await self.launch(vm, record.spec, ids, home, lock)
            } catch let error as ProviderError where hasImage && error.cause is Launcher.MountFailed {
                // A damaged file system refuses to be mounted: once more, after repair.
                try await vm.awaitUnmount(of: home)
                try await home.check()
                return try await self.launch(vm, record.spec, ids, home, lock)
            }
        }
    }

    package func stop(_ id: VMInstance.ID) async throws {
        let vm = try machine(id)
        guard vm.isKnown else { throw ProviderError.missing(id) }
        try await turn(vm) { _ in
            try await vm.end(gracefully: true)
            if let ids = vm.directory.loadIDs() {
                try await vm.awaitUnmount(of: HomeImage(directory: vm.directory, ids: ids))
            }
        }
    }

    package func destroy(_ id: VMInstance.ID) async throws {
        let vm = try machine(id)
        guard vm.isKnown else { return }
        try await turn(vm) { _ in
            try await vm.end(gracefully: false)
            // The record first: from here on there is no VM, only remains that a repetition removes.
            unlink(vm.directory.record)
            if let ids = vm.directory.loadIDs() {
                try await vm.awaitUnmount(of: HomeImage(directory: vm.directory, ids: ids))
            }
            try await vm.removeFiles()
            vm.group.removeAncestors()
            self.turnstile.forget(vm.name)
        }
    }

    package func status(_ id: VMInstance.ID) async throws -> VMStatus {
        try machine(id).status
    }

    package func list() async throws -> [VMInstance] {
        try Files.names(in: configuration.stateDirectory).filter(VMSpec.isName).map { try machine($0) }
            .filter(\.isKnown).map(\.instance)
    }

    package func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try machine(id).endpoint
    }

    package func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] {
        let vm = try machine(id)
        guard vm.isKnown else { throw ProviderError.missing(id) }
        return Files.tail(of: vm.directory.log, limit: 1 << 20).split(separator: "\n").suffix(max(0, lines))
            .map(String.init)
    }

    // MARK: Inside

    private func machine(_ id: VMInstance.ID) throws(ProviderError) -> LocalMachine { try machine(id.rawValue) }

    private func machine(_ name: String) throws(ProviderError) -> LocalMachine {
        guard VMSpec.isName(name) else { throw .missing(VMInstance.ID(rawValue: name)) }
        return try LocalMachine(name: name, configuration: configuration)
    }

    private func turn<Result>(
        _ vm: LocalMachine, _ body: (_ lock: Int32) async throws -> Result
    ) async throws -> Result {
        try await turnstile.pass(vm.name, unblock: { vm.killMembers() }, body)
    }

    private func allocateIDs(for vm: LocalMachine) async throws -> VMDirectory.IDRange {
        if let ids = vm.directory.loadIDs() { return ids }
        return try await turnstile.pass(".ids") { _ in
            let state = configuration.stateDirectory
            let used = Set(
                Files.names(in: state).compactMap { VMDirectory(state: state, name: $0).loadIDs()?.base })
            // Where the search begins differs between state directories, so that their VMs hardly share ids.
            let offset = LocalMachine.scopeNumber(of: state) % VMDirectory.IDRange.ranges
            for index in 0..<VMDirectory.IDRange.ranges {
                let range = (offset + index) % VMDirectory.IDRange.ranges
                let ids = VMDirectory.IDRange(
                    base: VMDirectory.IDRange.first + range * VMDirectory.IDRange.count)
                guard !used.contains(ids.base) else { continue }
                try Files.write(String(ids.base), to: vm.directory.ids, mode: 0o600)
                return ids
            }
            throw ProviderError(
                .unavailable, "All ranges of user ids are in use by VMs.", hint: "Destroy VMs that nobody needs.")
        }
    }

    private func bundle(
        of vm: LocalMachine, _ spec: VMSpec, _ ids: VMDirectory.IDRange, _ home: HomeImage
    ) throws(ProviderError) -> Bundle {
        try Bundle(
            directory: vm.directory, configuration: configuration, spec: spec, ids: ids, group: vm.group,
            hasImage: home.isImage == true)
    }

    private func launch(
        _ vm: LocalMachine, _ spec: VMSpec, _ ids: VMDirectory.IDRange, _ home: HomeImage, _ lock: Int32
    ) async throws -> VMEndpoint {
        if home.isImage == true { try await home.grow(to: spec.diskMb) }
        if let size = Files.size(of: vm.directory.log), size > Self.logLimit { unlink(vm.directory.log) }
        let logStart = Files.size(of: vm.directory.log) ?? 0
        do {
            let bundle = try bundle(of: vm, spec, ids, home)
            try bundle.write()
            try vm.group.make(for: spec, ids: ids)
            let port = try await Self.listen(preferring: vm.directory.loadPort()) { listener, port in
                if port != vm.directory.loadPort() {
                    try Files.write(String(port), to: vm.directory.port, mode: 0o600)
                }
                let egressUser =
                    spec.network && self.configuration.egressProblem == nil ? ids.base + Self.egressUser : nil
                try await Launcher(
                    directory: vm.directory, configuration: self.configuration, group: vm.group,
                    mounts: bundle.mounts, egressUser: egressUser
                )
                .launch(listener: listener, lock: lock)
                return port
            }
            guard try await answers(vm, port: port, within: configuration.startTimeout) else {
                throw ProviderError(
                    vm.initProcess == nil ? .failed : .startTimeout, "Its SSH server does not answer on port \(port).",
                    hint: "See the VM's log.", isRetryable: true)
            }
            guard let endpoint = vm.endpoint else {
                throw ProviderError(.failed, "Its init has ended.", hint: "See the VM's log.", isRetryable: true)
            }
            return endpoint
        } catch {
            let said = Files.tail(
                of: vm.directory.log, limit: max(1, (Files.size(of: vm.directory.log) ?? 0) - logStart)
            )
            .trimmingCharacters(in: .whitespacesAndNewlines)
            // Must run although the caller may be cancelled: half a VM is not left behind.
            await Task { [logger] in
                do { try await vm.end(gracefully: false) } catch {
                    logger.error("VM not cleaned up", metadata: ["vm": "\(vm.name)", "error": "\(error)"])
                }
            }.value
            if error is CancellationError { throw error }
            throw Self.notStarted(vm.name, because: error, said: said)
        }
    }

    /// The listener is ours only while `body` hands it on.
    private static func listen<Result>(
        preferring port: Int?, _ body: (_ listener: Int32, _ port: Int) async throws -> Result
    ) async throws -> Result {
        let listener = try LoopbackListener(preferring: port)
        return try await body(listener.descriptor, listener.port)
    }

    private static func notStarted(_ name: String, because error: any Error, said: String) -> ProviderError {
        let reason = error as? ProviderError
        let isTimeout = error is DeadlineExceeded
        return ProviderError(
            reason?.code ?? (isTimeout ? .startTimeout : .failed),
            "VM '\(name)' not started. \(reason?.message ?? "\(error).")"
                + (said.isEmpty ? "" : " It said: \(said.suffix(2000))"),
            hint: reason?.hint ?? "See the VM's log.", isRetryable: reason?.isRetryable ?? isTimeout, cause: error)
    }

    /// Whether the VM's SSH server greets, within the limit and while its init lives.
    private func answers(_ vm: LocalMachine, port: Int, within limit: Duration) async throws -> Bool {
        do {
            return try await withDeadline(limit, "greeting of the VM's SSH server") {
                let probe = BannerProbe()
                while vm.initProcess != nil {
                    if try await probe.isGreeted(port: port) { return true }
                    try await Task.sleep(for: .milliseconds(20))  // the pace of trying again
                }
                return false
            }
        } catch is DeadlineExceeded {
            return false
        }
    }
}
