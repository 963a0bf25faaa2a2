import Providers
import Synchronization

/// A provider as a process sees it that may die: from then on nothing it asks for is done, and what was done it does not
/// hear of.
final class SeverableProvider: VMProvider {
    private let provider: ScriptedProvider
    private let isSevered = Mutex(false)

    init(_ provider: ScriptedProvider) { self.provider = provider }

    func sever() { isSevered.withLock { $0 = true } }

    var kind: ProviderKind { provider.kind }

    func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try await reaching { try await provider.create(spec, log: log) }
    }

    func start(_ id: VMInstance.ID) async throws -> VMEndpoint { try await reaching { try await provider.start(id) } }

    func stop(_ id: VMInstance.ID) async throws { try await reaching { try await provider.stop(id) } }

    func destroy(_ id: VMInstance.ID) async throws { try await reaching { try await provider.destroy(id) } }

    func status(_ id: VMInstance.ID) async throws -> VMStatus { try await reaching { try await provider.status(id) } }

    func list() async throws -> [VMInstance] { try await reaching { try await provider.list() } }

    func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try await reaching { try await provider.endpoint(id) }
    }

    func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] { [] }

    private func reaching<Value>(_ body: () async throws -> Value) async throws -> Value {
        try check()
        let value = try await body()
        try check()
        return value
    }

    private func check() throws {
        if isSevered.withLock({ $0 }) { throw CancellationError() }
    }
}
