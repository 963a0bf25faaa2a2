import EventLoop
import Foundation
package import Logging

/// VMs as containers of a Docker engine.
///
/// A VM is a container named as the VM, with labels that say so; its home is a volume, its port another (``PortRegistry``).
/// The engine is the only memory: every operation begins by asking it, so whichever process made a VM, any other that
/// reaches the engine carries on.
///
/// `create` makes volumes, port and container, each in a call that can be repeated, and then unpacks keys and the runner's
/// secret into the container's file system. A container that has been made and not been given them is a VM half made:
/// `create` completes it, `start` takes it away. `start` is one call and the wait for the SSH server's greeting. The first
/// process is the engine's small init, its child the runner, which listens on port 22 and gives each connection to an
/// `sshd -i`: there is nothing to wait for but the container itself.
///
/// What a container cannot change in its life is compared by digest. Where that differs a stopped container is made
/// again around the same home and port.
package final class DockerProvider: VMProvider {
    package struct Configuration: Sendable {
        package static let standardImage = "martlet/vm:latest"

        package var engine: EngineAddress
        package var image = standardImage
        package var address = "127.0.0.1"  // IPv4, of the engine's machine: where SSH ports are published and reached
        package var firstPort = 2_222
        package var startTimeout: Duration = .seconds(20)

        package init(engine: EngineAddress) { self.engine = engine }
    }

    package let kind = ProviderKind.docker
    let configuration: Configuration
    let engine: EngineClient
    let ports: PortRegistry
    let networks: GuestNetworks
    private let probe: NestProbe
    let logger: Logger
    private let turns = Turns()

    package init(configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        engine = EngineClient(address: configuration.engine)
        ports = PortRegistry(engine: engine, address: configuration.address, first: configuration.firstPort)
        networks = GuestNetworks(engine: engine)
        probe = NestProbe(engine: engine)
    }

    // MARK: VMProvider

    package func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try spec.validate()
        return try await turn(spec.name, "VM '\(spec.name)' not made") {
            let image = try await self.usableImage()
            let network = spec.network ? GuestNetworks.Kind.egress : .isolated
            try await self.networks.ensure(network)
            let information = try await self.engine.information()
            let processors = information.NCPU
            if processors < spec.vcpus {
                await log.write(.warning, "The engine has \(processors) processors: the VM gets those")
            }
            let isNested = try await self.probe.works(in: image.id, information)
            if !isNested {
                await log.write(
                    .warning,
                    "This engine's containers make no user namespaces: runs see each other, and their limits are watched"
                )
            }
            let blueprint = Blueprint(
                spec: spec, image: image.id, network: network.rawValue, vcpus: min(spec.vcpus, processors),
                address: self.configuration.address, isNested: isNested,
                limitsLayer: information.mayLimitLayers)
            if let found = try await self.machine(spec.name),
                try await self.bringInLine(found, with: blueprint, log)
            {
                return try await self.instance(spec.name)
            }
            try await self.makeHome(of: spec, log)
            try await self.makeContainer(blueprint)
            await log.write(.info, "VM \(spec.name) is there: \(spec.vcpus) vCPU, \(spec.memoryMb) MB memory")
            return try await self.instance(spec.name)
        }
    }

    package func start(_ id: VMInstance.ID) async throws -> VMEndpoint {
        try await turn(id.rawValue, "VM '\(id)' not started") {
            guard var machine = try await self.machine(id.rawValue) else { throw ProviderError.missing(id) }
            switch machine.status {
            case .running:
                if let port = machine.port, try await self.greets(port, machine, within: .seconds(5)) {
                    return self.endpoint(port)
                }
                try await self.engine.stopContainer(machine.name, grace: 1)
            case .paused:
                try await self.engine.unpauseContainer(machine.name)
                if let port = machine.port, try await self.greets(port, machine, within: .seconds(5)) {
                    return self.endpoint(port)
                }
                try await self.engine.stopContainer(machine.name, grace: 1)
            case .created where try await self.isHalfMade(machine):
                throw try await self.clearedAway(machine)
            case .created, .exited, .restarting, .dead, .removing, .unknown: break
            }
            do {
                return try await self.launch(&machine)
            } catch let failure as EngineFailure where failure.isOfLeaving {
                throw try await self.clearedAway(machine)
            }
        }
    }

    package func stop(_ id: VMInstance.ID) async throws {
        try await turn(id.rawValue, "VM '\(id)' not stopped") {
            guard let machine = try await self.machine(id.rawValue) else { throw ProviderError.missing(id) }
            try await self.engine.stopContainer(machine.name, grace: 3)
        }
    }

    package func destroy(_ id: VMInstance.ID) async throws {
        guard VMSpec.isName(id.rawValue) else { return }
        try await turn(id.rawValue, "VM '\(id)' not destroyed") {
            if let machine = try await self.machine(id.rawValue) {
                try await self.engine.removeContainer(machine.name)
            }
            // Also of a VM whose container is gone, or was never made.
            for volume in try await self.engine.volumes(label: "\(Blueprint.Label.name)=\(id)") {
                try await self.removeVolume(volume.name)
            }
        }
    }

    package func status(_ id: VMInstance.ID) async throws -> VMStatus {
        try await asking("VM '\(id)' not looked at") {
            guard let machine = try await self.machine(id.rawValue) else { return .missing }
            return try await self.status(of: machine)
        }
    }

    package func list() async throws -> [VMInstance] {
        try await asking("VMs not listed") {
            var all: [VMInstance] = []
            for container in try await self.engine.containers(label: "\(Blueprint.Label.managed)=true") {
                guard let machine = DockerMachine(container) else { continue }
                let status = try await self.status(of: machine)
                all.append(machine.instance(status))
            }
            return all.sorted { $0.name < $1.name }
        }
    }

    package func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try await asking("VM '\(id)' not looked at") {
            guard let machine = try await self.machine(id.rawValue), machine.status == .running else { return nil }
            return machine.port.map(self.endpoint)
        }
    }

    package func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] {
        try await asking("Log of VM '\(id)' not read") {
            guard let machine = try await self.machine(id.rawValue) else { throw ProviderError.missing(id) }
            return try await self.engine.logs(machine.name, lines: lines)
        }
    }

    // MARK: Making

    private func usableImage() async throws -> EngineImage {
        guard let image = try await engine.image(configuration.image) else {
            throw VMImage.missing(configuration.image)
        }
        try VMImage.check(image, named: configuration.image)
        return image
    }

    /// Whether the VM is as asked for now; `false`: its container has been taken away, to be made again.
    private func bringInLine(
        _ machine: DockerMachine, with blueprint: Blueprint, _ log: ProvisionLog
    ) async throws -> Bool {
        if machine.status == .removing || machine.status == .dead {
            try await engine.removeContainer(machine.name)
            return false
        }
        let isSame = try machine.digest == blueprint.digest
        if !isSame, !machine.isAlive {
            await log.write(.info, "Making the container again: its image, its network or its walls have changed")
            try await engine.removeContainer(machine.name)
            return false
        }
        if !isSame {
            await log.write(
                .warning,
                "Image or network has changed: that takes effect when the VM is made again while it is stopped")
        }
        do {
            try await engine.updateContainer(machine.name, blueprint.limits)
            try await engine.putArchive(blueprint.settingsArchive(), into: "/etc", of: machine.name)
            return true
        } catch let failure as EngineFailure where failure.isOfLeaving || failure.isMissing {
            // Somebody who destroyed it was cut off, and the engine goes on.
            try await engine.removeContainer(machine.name)
            return false
        }
    }

    /// With a size, where the engine's storage can keep one.
    private func makeHome(of spec: VMSpec, _ log: ProvisionLog) async throws {
        let name = Blueprint.home(of: spec.name)
        if try await engine.hasVolume(name) { return }
        await log.write(.info, "Making a home of \(spec.diskMb) MB")
        let labels = [Blueprint.Label.managed: "true", Blueprint.Label.name: spec.name]
        do {
            _ = try await engine.volume(name, labels: labels, options: ["size": "\(spec.diskMb)m"])
        } catch let failure as EngineFailure where failure.isQuotaRefused {
            await log.write(.warning, "The engine's storage keeps no sizes: the runner watches that of the home")
            _ = try await engine.volume(name, labels: labels)
        }
    }

    private func makeContainer(_ blueprint: Blueprint) async throws {
        let name = blueprint.spec.name
        let port = try await ports.reserve(for: name)
        do {
            try await engine.createContainer(name, blueprint.request(port: port))
        } catch let failure as EngineFailure where failure.isQuotaRefused && blueprint.limitsLayer {
            var plain = blueprint
            plain.limitsLayer = false
            return try await makeContainer(plain)  // of its layer a user can write nothing anyway
        } catch let failure as EngineFailure where failure.isConflict {
            let found = try await holder(of: name, failure)
            if let other = found.port, other != port { try await ports.release(port) }
        }
        try await engine.putArchive(blueprint.settingsArchive(), into: "/etc", of: name)
    }

    /// The container that has taken the VM's name: another process was faster with the same VM. The engine gives a name
    /// away some time before it knows the container.
    private func holder(of name: String, _ conflict: EngineFailure) async throws -> DockerMachine {
        let end = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < end {
            if let container = try await engine.container(name) {
                if let found = DockerMachine(container) { return found }
                throw ProviderError(
                    .failed, "VM '\(name)' not made: the engine has a container of that name that is not Martlet's.",
                    hint: "Rename or remove it.", cause: conflict)
            }
            try await Task.sleep(for: .milliseconds(20))  // there is nothing to wait for by name
        }
        throw ProviderError(
            .failed, "VM '\(name)' not made: its name is taken, but by no container.", hint: "Try again.",
            isRetryable: true, cause: conflict)
    }

    // MARK: Looking

    /// The VM's container; `nil` if there is none, or one that is not Martlet's.
    func machine(_ name: String) async throws -> DockerMachine? {
        guard VMSpec.isName(name) else { return nil }
        return try await engine.container(name).flatMap(DockerMachine.init)
    }

    private func instance(_ name: String) async throws -> VMInstance {
        guard let machine = try await machine(name) else {
            throw ProviderError.missing(VMInstance.ID(rawValue: name))
        }
        return machine.instance(try await status(of: machine))
    }

    private func status(of machine: DockerMachine) async throws -> VMStatus {
        switch machine.status {
        case .running: .running
        case .created: try await isHalfMade(machine) ? .provisioning : .stopped
        case .exited, .paused: .stopped
        // The engine is at it; if that does not help, it has been at it for long.
        case .restarting: machine.restarts < 5 ? .provisioning : .error
        case .removing: .missing
        case .dead, .unknown: .error
        }
    }

    /// Whether whoever made the container did not come to give it its keys.
    private func isHalfMade(_ machine: DockerMachine) async throws -> Bool {
        try await !engine.hasFile("\(Blueprint.settings)/runner.json", in: machine.name)
    }

    func endpoint(_ port: Int) -> VMEndpoint {
        VMEndpoint(host: configuration.address, port: port, user: Guest.user, runnerPort: Guest.runnerPort)
    }

    /// A volume is in use until the engine has let go of the container that had it.
    private func removeVolume(_ name: String) async throws {
        let end = ContinuousClock.now + .seconds(10)
        while true {
            do {
                return try await engine.removeVolume(name)
            } catch let failure as EngineFailure where failure.isConflict && ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(50))  // there is no event of it
            }
        }
    }

    private func turn<Result>(
        _ name: String, _ what: String, _ body: () async throws -> Result
    ) async throws -> Result {
        try await turns.take(name) { try await asking(what, body) }
    }

    /// Tells the engine's refusals in the provider's words.
    private func asking<Result>(_ what: String, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let failure as EngineFailure {
            throw failure.asProviderError(what)
        }
    }
}
