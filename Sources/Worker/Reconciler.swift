import Fleet
import Logging
import Providers

/// Makes the rows agree with the VMs that there are: after a reboot, a crash, or somebody's `kill`.
struct Reconciler: Sendable {
    enum Finding: String, Sendable {
        case asRecorded = "as recorded"
        case movedElsewhere = "running at another place"
        case notRunning = "not running"
        case gone
    }

    let fleet: Fleet
    let provider: any VMProvider
    let worker: String
    let logger: Logger

    /// Looks at one environment that is recorded as running, and records what is found. If somebody else has moved it
    /// meanwhile, what they recorded stands.
    func compare(_ environment: Environment) async throws -> Finding {
        guard let instance = environment.instanceID else { return .asRecorded }
        switch try await provider.status(instance) {
        case .running:
            guard let endpoint = try await provider.endpoint(instance).map(EnvironmentEndpoint.init),
                endpoint != environment.endpoint
            else { return .asRecorded }
            return try await fleet.environments.setEndpoint(endpoint, of: environment) ? .movedElsewhere : .asRecorded
        case .stopped:
            return try await recordStop(of: environment) ? .notRunning : .asRecorded
        case .missing, .error:
            let moved = try await fleet.environments.move(
                environment.id, from: .running, generation: environment.generation, to: .error,
                change: EnvironmentChange(errorMessage: "The VM is gone at its provider."), actor: .worker(worker),
                action: "reconcile")
            return moved == nil ? .asRecorded : .gone
        case .provisioning:
            return .asRecorded
        }
    }

    /// Looks at every environment that is recorded as running, and at VMs whose environment is destroyed.
    func sweep() async throws {
        var last: EnvironmentID?
        while true {
            let page = try await fleet.environments.list(states: [.running], limit: 100, after: last)
            for environment in page where environment.provider == provider.kind.rawValue {
                do {
                    let finding = try await compare(environment)
                    guard finding != .asRecorded else { continue }
                    logger.warning(
                        "environment was not as recorded",
                        metadata: ["environment": "\(environment.id)", "finding": "\(finding.rawValue)"])
                } catch let error as ProviderError {
                    // One VM that cannot be asked after keeps nobody from asking after the others.
                    logger.warning(
                        "VM not compared with its environment",
                        metadata: ["environment": "\(environment.id)", "error": "\(error)"])
                }
            }
            guard page.count == 100, let end = page.last else { break }
            last = end.id
        }
        for vm in try await provider.list() {
            guard vm.name.hasPrefix("mlt-"), let id = EnvironmentID(String(vm.name.dropFirst(4))) else { continue }
            switch try await fleet.environments.find(id)?.state {
            case .destroyed:
                logger.warning("VM outlived its environment, destroying it", metadata: ["vm": "\(vm.name)"])
                try await provider.destroy(vm.id)
            case nil:
                logger.warning("VM belongs to no environment of this database", metadata: ["vm": "\(vm.name)"])
            case .requested, .provisioning, .starting, .running, .stopping, .stopped, .destroying, .error:
                break
            }
        }
    }

    /// `running` to `stopped` by way of `stopping`, as the state machine has it. The stop job that the first move
    /// queues finds its work done. `false`: somebody else was faster.
    private func recordStop(of environment: Environment) async throws -> Bool {
        let stopping = try await fleet.environments.move(
            environment.id, from: .running, generation: environment.generation, to: .stopping,
            actor: .worker(worker), action: "reconcile")
        guard let stopping else { return false }
        _ = try await fleet.environments.move(
            environment.id, from: .stopping, generation: stopping.generation, to: .stopped, actor: .worker(worker),
            action: "reconcile")
        return true
    }
}
