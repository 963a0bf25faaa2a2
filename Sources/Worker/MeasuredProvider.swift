package import Providers
package import Telemetry

/// A provider whose calls are counted and timed.
package struct MeasuredProvider: VMProvider {
    private let provider: any VMProvider
    private let seconds: MetricFamily

    package init(_ provider: any VMProvider, _ seconds: MetricFamily) {
        self.provider = provider
        self.seconds = seconds
    }

    /// What all providers of a process are measured with.
    package static func seconds(in registry: MetricRegistry) -> MetricFamily {
        registry.histogram(
            "martlet_provider_call_seconds", help: "Calls of providers, by how they ended.",
            labels: ["provider", "operation", "outcome"], bounds: MetricFamily.secondsBounds)
    }

    package var kind: ProviderKind { provider.kind }

    package func create(_ spec: VMSpec, log: ProvisionLog) async throws -> VMInstance {
        try await measured("create") { try await provider.create(spec, log: log) }
    }

    package func start(_ id: VMInstance.ID) async throws -> VMEndpoint {
        try await measured("start") { try await provider.start(id) }
    }

    package func start(_ id: VMInstance.ID, network: Bool, log: ProvisionLog) async throws -> VMEndpoint {
        try await measured("start") { try await provider.start(id, network: network, log: log) }
    }

    package func stop(_ id: VMInstance.ID) async throws {
        try await measured("stop") { try await provider.stop(id) }
    }

    package func destroy(_ id: VMInstance.ID) async throws {
        try await measured("destroy") { try await provider.destroy(id) }
    }

    package func status(_ id: VMInstance.ID) async throws -> VMStatus {
        try await measured("status") { try await provider.status(id) }
    }

    package func list() async throws -> [VMInstance] { try await measured("list") { try await provider.list() } }

    package func endpoint(_ id: VMInstance.ID) async throws -> VMEndpoint? {
        try await measured("endpoint") { try await provider.endpoint(id) }
    }

    package func logs(_ id: VMInstance.ID, lines: Int) async throws -> [String] {
        try await measured("logs") { try await provider.logs(id, lines: lines) }
    }

    private func measured<Result>(_ operation: String, _ body: () async throws -> Result) async throws -> Result {
        let begin = ContinuousClock.now
        do {
            let result = try await body()
            seconds.observe(.now - begin, kind.rawValue, operation, "ok")
            return result
        } catch {
            let outcome =
                error is CancellationError ? "cancelled" : (error as? ProviderError)?.code.rawValue ?? "failed"
            seconds.observe(.now - begin, kind.rawValue, operation, outcome)
            throw error
        }
    }
}
