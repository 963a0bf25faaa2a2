package import Fleet
package import Logging
import ServiceLifecycle
package import Telemetry

/// Serves `/metrics` and `/healthz` of a process that has no gateway.
package struct MetricsService: Service {
    private let configuration: GatewayConfiguration
    private let registry: MetricRegistry
    private let authenticate: @Sendable (String) async throws -> Caller?
    private let logger: Logger
    private let onRunning: @Sendable (_ port: Int) async -> Void

    package init(
        host: String, port: Int, access: MetricsAccess, registry: MetricRegistry,
        authenticate: @escaping @Sendable (String) async throws -> Caller?, logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) async -> Void
    ) {
        var configuration = GatewayConfiguration(host: host, port: port)
        configuration.metricsAccess = access
        configuration.maximumConnections = 64
        configuration.drainTimeout = .seconds(1)
        self.configuration = configuration
        self.registry = registry
        self.authenticate = authenticate
        self.logger = logger
        self.onRunning = onRunning
    }

    package func run() async throws {
        let authentication = Authentication(authenticate: authenticate)
        let routes = MetricsRoutes(
            registry: registry, access: configuration.metricsAccess, authentication: authentication
        ).routes
        let dispatcher = Dispatcher(
            table: RouteTable(routes: routes + [HealthRoutes.health]), authentication: authentication, rate: nil,
            metrics: GatewayMetrics(registry))
        try await HTTPService(configuration: configuration, dispatcher: dispatcher, logger: logger).run(
            isShuttingDown: Latch(), onRunning: onRunning)
    }
}
