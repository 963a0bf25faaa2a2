import Fleet
import Foundation
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
    let worker: String
    let logger: Logger

    /// Looks at one environment that is recorded as running, and records what is found. If somebody else has moved it
    /// meanwhile, what they recorded stands.
    func compare(_ environment: Environment, _ provider: any VMProvider) async throws -> Finding {
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

    /// Looks at every environment of a provider that is recorded as running, and at every VM of it that runs, or is there, although its
    /// environment says otherwise. A VM that runs beside a row that has been `stopped` or `error` for `strayAge` is
    /// stopped: nobody reaches it, and nobody else would stop it. A job that was late can leave such a VM behind.
    func sweep(_ provider: any VMProvider, strayAge: Duration) async throws {
        try await each([.running], of: provider) { environment in
            let finding = try await compare(environment, provider)
            guard finding != .asRecorded else { return }
            logger.warning(
                "environment was not as recorded",
                metadata: ["environment": "\(environment.id)", "finding": "\(finding.rawValue)"])
        }
        let vms = try await provider.list()
        var unknown: [String: String] = [:]
        for vm in vms {
            guard let environment = try await environment(of: vm, provider) else {
                unknown[vm.id.rawValue] = vm.name
                continue
            }
            try await carryingOn(about: vm.name) { try await settle(vm, of: environment, provider, strayAge: strayAge) }
        }
        for vm in try await fleet.unknownVMs.record(unknown, of: provider.kind.rawValue) {
            logger.warning(
                "VM belongs to no environment of this database",
                metadata: ["vm": "\(vm.name)", "provider": "\(vm.provider)"])
        }
        let there = Set(vms.map(\.id))
        try await each([.stopped], unchangedFor: strayAge, of: provider) { environment in
            guard let instance = environment.instanceID, !there.contains(instance),
                try await provider.status(instance) == .missing
            else { return }
            logger.warning("VM of a stopped environment is gone", metadata: ["environment": "\(environment.id)"])
            _ = try await fleet.environments.move(
                environment.id, from: .stopped, generation: environment.generation, to: .error,
                change: EnvironmentChange(errorMessage: "The VM is gone at its provider."), actor: .worker(worker),
                action: "reconcile")
        }
    }

    /// Every environment of the provider in one of `states`, page by page.
    private func each(
        _ states: Set<EnvironmentState>, unchangedFor age: Duration = .zero, of provider: any VMProvider,
        _ body: (Environment) async throws -> Void
    ) async throws {
        var last: EnvironmentID?
        while true {
            let page = try await fleet.environments.list(states: states, unchangedFor: age, limit: 100, after: last)
            for environment in page where environment.provider == provider.kind.rawValue {
                try await carryingOn(about: environment.vmName) { try await body(environment) }
            }
            guard page.count == 100, let end = page.last else { return }
            last = end.id
        }
    }

    /// The row that a VM belongs to, a destroyed one too; `nil`: nobody knows it.
    private func environment(of vm: VMInstance, _ provider: any VMProvider) async throws -> Environment? {
        guard let id = EnvironmentID(vmName: vm.name) else { return nil }
        guard let environment = try await fleet.environments.find(id), environment.provider == provider.kind.rawValue
        else { return nil }
        return environment
    }

    private func settle(
        _ vm: VMInstance, of environment: Environment, _ provider: any VMProvider, strayAge: Duration
    ) async throws {
        switch environment.state {
        case .destroyed:
            logger.warning("VM outlived its environment, destroying it", metadata: ["vm": "\(vm.name)"])
            try await provider.destroy(vm.id)
        case .stopped, .error:
            guard vm.state == .running,
                Date.now.timeIntervalSince(environment.stateChangedAt) >= strayAge / .seconds(1)
            else { return }
            logger.warning(
                "VM runs although its environment does not, stopping it",
                metadata: ["vm": "\(vm.name)", "state": "\(environment.state.rawValue)"])
            try await provider.stop(vm.id)
            // Somebody may have started it between the look at the row and the stop. Then it does not run any more.
            guard let now = try await fleet.environments.find(environment.id), now.state == .running else { return }
            _ = try await compare(now, provider)
        case .requested, .provisioning, .starting, .running, .stopping, .destroying:
            break
        }
    }

    /// One VM that cannot be asked after keeps nobody from asking after the others.
    private func carryingOn(about vm: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as ProviderError {
            logger.warning("VM not compared with its environment", metadata: ["vm": "\(vm)", "error": "\(error)"])
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
