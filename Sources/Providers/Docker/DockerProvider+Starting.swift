import EventLoop
import Logging

// From a container to a VM that greets.
extension DockerProvider {
    func launch(_ machine: inout DockerMachine) async throws -> VMEndpoint {
        var unfit: Set<Int> = []
        while true {
            guard let port = machine.port else {
                throw ProviderError(
                    .failed, "VM '\(machine.name)' not started: its container publishes no SSH port.",
                    hint: "Destroy the VM and make it anew.")
            }
            do {
                try await engine.startContainer(machine.name, within: .seconds(60))
            } catch let failure as EngineFailure where failure.isPortTaken && unfit.count < 20 {
                unfit.insert(port)
                logger.warning(
                    "port of a VM is taken, giving it another",
                    metadata: ["vm": "\(machine.name)", "port": "\(port)"])
                machine = try await move(machine, to: try await ports.reserve(for: machine.name, unfit: unfit))
                continue
            } catch let failure as EngineFailure
                where failure.isMissing && failure.says("network") && unfit.isEmpty
            {
                // Somebody has removed it; a VM without has none to be in.
                for kind in [GuestNetworks.Kind.isolated, .egress] { try await networks.ensure(kind) }
                try await engine.startContainer(machine.name, within: .seconds(60))
            }
            if try await greets(port, machine, within: configuration.startTimeout) { return endpoint(port) }
            throw try await notStarted(machine, port)
        }
    }

    /// The same container, with the settings it was given, on another port: bindings cannot be changed.
    private func move(_ machine: DockerMachine, to port: Int) async throws -> DockerMachine {
        guard let inspection = machine.inspection else { return machine }
        let settings = try await engine.archive(of: Blueprint.settings, in: machine.name)
        var request = ContainerRequest(inspection)
        request.labels[Blueprint.Label.port] = String(port)
        request.hostConfig.portBindings = [
            Blueprint.sshPort: [.init(hostIp: configuration.address, hostPort: String(port))]
        ]
        try await engine.removeContainer(machine.name)
        try await engine.createContainer(machine.name, request)
        try await engine.putArchive(settings, into: "/etc", of: machine.name)
        if let old = machine.port { try await ports.release(old) }
        guard let moved = try await self.machine(machine.name) else {
            throw ProviderError.missing(VMInstance.ID(rawValue: machine.name))
        }
        return moved
    }

    /// Whether the VM's SSH server greets, within the limit and while the container lives.
    func greets(_ port: Int, _ machine: DockerMachine, within limit: Duration) async throws -> Bool {
        do {
            return try await withDeadline(limit, "greeting of the VM's SSH server") { [engine, configuration] in
                let probe = BannerProbe()
                for attempt in 1... {
                    if try await probe.isGreeted(host: configuration.address, port: port) { return true }
                    // Most starts need a few of these. A container that has failed is not waited for.
                    try await Task.sleep(for: .milliseconds(attempt < 100 ? 3 : 50))
                    if attempt % 20 == 0 {
                        let now = try await engine.container(machine.name).flatMap(DockerMachine.init)
                        guard let now, now.status == .running, now.restarts == machine.restarts else { return false }
                    }
                }
                return false
            }
        } catch is DeadlineExceeded {
            return false
        }
    }

    /// Takes away a container that is none any more, or not yet one. Who makes VMs makes those that are missing, so the same
    /// call may succeed later.
    func clearedAway(_ machine: DockerMachine) async throws -> ProviderError {
        try await engine.removeContainer(machine.name)
        var error = ProviderError.missing(VMInstance.ID(rawValue: machine.name))
        error.isRetryable = true
        return error
    }

    /// Stops what did not come up, and tells what it said.
    private func notStarted(_ machine: DockerMachine, _ port: Int) async throws -> ProviderError {
        let now = try await self.machine(machine.name)
        let said = try await engine.logs(machine.name, lines: 20).joined(separator: "\n")
        try await engine.stopContainer(machine.name, grace: 1)
        let hasEnded = now?.status != .running || now?.restarts != machine.restarts
        return ProviderError(
            hasEnded ? .failed : .startTimeout,
            "VM '\(machine.name)' not started: "
                + (hasEnded ? "its first process has ended." : "its SSH server does not answer on port \(port).")
                + (said.isEmpty ? "" : " It said: \(said.suffix(2000))"),
            hint: "See the VM's log.", isRetryable: true)
    }
}
