import Providers

/// Keeps its VMs in memory, and does what a test tells it to: fail, or have something happen in the middle of a call.
actor ScriptedProvider: VMProvider {
    enum Operation: Hashable, Sendable {
        case create, start, stop, destroy, status, list, endpoint
    }

    private struct VM {
        let spec: VMSpec
        var state = VMStatus.stopped
        var port = 2_200
    }

    nonisolated let kind: ProviderKind
    private var isReachable = true
    private var vms: [VMInstance.ID: VM] = [:]
    private var counts: [Operation: Int] = [:]
    private var scripts: [Operation: @Sendable () async throws -> Void] = [:]

    init(_ kind: ProviderKind = .local) { self.kind = kind }

    // MARK: For tests

    /// While it is not, every call fails as that of an engine that is stopped.
    func setReachable(_ isReachable: Bool) { self.isReachable = isReachable }

    /// Runs `script` once, in the next call of `operation`, when the provider has done its work and before the caller
    /// hears of it; what it throws, the call throws.
    func next(_ operation: Operation, _ script: @escaping @Sendable () async throws -> Void) {
        scripts[operation] = script
    }

    func fail(next operation: Operation, isRetryable: Bool) {
        next(operation) {
            throw ProviderError(.failed, "The host is full.", hint: "Add a host.", isRetryable: isRetryable)
        }
    }

    /// What a crash, a reboot or a person does behind everybody's back.
    func set(_ id: VMInstance.ID, to state: VMStatus) {
        if state == .missing { vms[id] = nil } else { vms[id]?.state = state }
    }

    func move(_ id: VMInstance.ID, toPort port: Int) { vms[id]?.port = port }

    func calls(of operation: Operation) -> Int { counts[operation, default: 0] }

    var specs: [VMSpec] { vms.values.map(\.spec) }

    func state(of id: VMInstance.ID) -> VMStatus { vms[id]?.state ?? .missing }

    // MARK: VMProvider

    func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try enter()
        let id = VMInstance.ID(rawValue: spec.name)
        vms[id] = vms[id] ?? VM(spec: spec)
        try await leave(.create)
        return VMInstance(id: id, name: spec.name, state: state(of: id))
    }

    func start(_ id: VMInstance.ID) async throws -> VMEndpoint {
        try enter()
        guard let vm = vms[id] else {
            throw ProviderError(.missing, "There is no VM '\(id)'.", hint: "Create it.")
        }
        vms[id]?.state = .running
        try await leave(.start)
        return endpoint(of: vm)
    }

    func stop(_ id: VMInstance.ID) async throws {
        try enter()
        vms[id]?.state = .stopped
        try await leave(.stop)
    }

    func destroy(_ id: VMInstance.ID) async throws {
        try enter()
        vms[id] = nil
        try await leave(.destroy)
    }

    func status(_ id: VMInstance.ID) async throws -> VMStatus {
        try enter()
        let state = state(of: id)
        try await leave(.status)
        return state
    }

    func list() async throws -> [VMInstance] {
        try enter()
        let list = vms.map { VMInstance(id: $0.key, name: $0.value.spec.name, state: $0.value.state) }
        try await leave(.list)
        return list
    }

    func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try enter()
        let vm = vms[id]
        try await leave(.endpoint)
        guard let vm, vm.state == .running else { return nil }
        return endpoint(of: vm)
    }

    func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] { [] }

    // MARK: Inside

    private func enter() throws {
        guard isReachable else {
            throw ProviderError(
                .unavailable, "The engine does not answer.", hint: "Start it.", isRetryable: true)
        }
    }

    private func leave(_ operation: Operation) async throws {
        counts[operation, default: 0] += 1
        guard let script = scripts.removeValue(forKey: operation) else { return }
        try await script()
    }

    private func endpoint(of vm: VM) -> VMEndpoint { VMEndpoint(host: "127.0.0.1", port: vm.port, runnerPort: 4_611) }
}
