import EventLoop
package import Execution
package import Fleet
import HTTPTypes
import HummingbirdCore
package import Logging
package import Telemetry
import NIOCore
import NIOPosix
import ServiceLifecycle

/// The HTTP API of a gateway.
///
/// Hummingbird's server accepts and shuts down; ``ConnectionSetup`` answers the requests of a connection one after
/// another; ``ConnectionHandler`` times and closes it; ``Dispatcher`` leads a request to its route; the routes decode
/// and encode. What is asked is done by ``GatewayOperations``: no rule of the domain is here.
///
/// A run's stream is one scope, from the admission of the request to the last byte of its answer:
/// `whileClientListens { execute { events in … } }`. It is left when the events end, when the client has gone, when the
/// gateway shuts down, or when the answer cannot be written, and leaving it ends the run. Events are pulled only when
/// the kernel has taken what was written before, so a slow reader slows its program down and costs no memory here.
///
/// Shutdown: no connection is accepted, idle ones are closed and `/readyz` says no; requests under way may go on for
/// `drainTimeout`; runs that still go on end with an `error` event; what is left five seconds later is cut.
package struct GatewayService: Service {
    private let operations: GatewayOperations
    private let registry: MetricRegistry
    private let configuration: GatewayConfiguration
    private let logger: Logger
    private let onRunning: @Sendable (_ port: Int) async -> Void

    /// `onRunning` is called once connections are accepted, with the port.
    package init(
        execution: ExecutionService, fleet: Fleet, configuration: GatewayConfiguration, registry: MetricRegistry,
        logger: Logger, onRunning: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) {
        var operations = GatewayOperations.live(
            execution: execution, fleet: fleet, provider: configuration.provider,
            providers: configuration.providers, catalog: configuration.catalog)
        if configuration.rateLimits != .off {
            let limiter = RateLimiter(limits: configuration.rateLimits, redis: fleet.redis, logger: logger)
            operations.rate = RateGate(limiter)
        }
        self.init(
            operations: operations, configuration: configuration, registry: registry, logger: logger,
            onRunning: onRunning)
    }

    init(
        operations: GatewayOperations, configuration: GatewayConfiguration,
        registry: MetricRegistry = MetricRegistry(), logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) async -> Void
    ) {
        self.operations = operations
        self.registry = registry
        self.configuration = configuration
        self.logger = logger
        self.onRunning = onRunning
    }

    /// All there are.
    func routes(_ isShuttingDown: Latch, _ budget: BufferBudget) -> [Route] {
        let metrics = MetricsRoutes(
            registry: registry, access: configuration.metricsAccess,
            authentication: Authentication(authenticate: operations.authenticate))
        let executions = ExecutionRoutes(operations: operations, configuration: configuration, budget: budget)
        let gate = WebSocketGate(limits: configuration.webSockets, isShuttingDown: isShuttingDown)
        let terminals = TerminalRoutes(operations: operations.terminals, configuration: configuration, gate: gate)
        let environments = EnvironmentRoutes(
            operations: operations.environments, executions: executions, configuration: configuration)
        let files = FileRoutes(operations: operations, configuration: configuration)
        let ssh = SSHRoutes(operations: operations, configuration: configuration, gate: gate)
        let inVMs: [Route] = executions.routes + terminals.routes + environments.routes + files.routes + ssh.routes
        let others: [Route] =
            VMRoutes(operations: operations, configuration: configuration).routes
            + RuntimeRoutes(operations: operations).routes
            + TokenRoutes(operations: operations, configuration: configuration).routes
            + AdminRoutes(fleet: operations.administered, configuration: configuration).routes
            + HealthRoutes(operations: operations, isShuttingDown: isShuttingDown).routes + metrics.routes
        return DescriptionRoutes.describing(inVMs + others)
    }

    /// Serves until the graceful shutdown is over or the task is cancelled. Throws if it cannot listen.
    package func run() async throws {
        let isShuttingDown = Latch()
        let budget = BufferBudget(bytes: configuration.bufferedOutputTotal)
        let authentication = Authentication(
            authenticate: operations.authenticate, session: operations.sessions?.authenticate)
        let pages = PageRoutes(operations: operations, configuration: configuration)
        let metrics = GatewayMetrics(registry)
        let trpc = TRPCRouter(
            operations: operations, configuration: configuration, budget: budget, authentication: authentication,
            metrics: metrics)
        let dispatcher = Dispatcher(
            table: RouteTable(
                routes: routes(isShuttingDown, budget) + (pages?.routes ?? []), subtrees: [trpc.subtree]),
            authentication: authentication, rate: operations.rate, metrics: metrics, pages: pages?.shell)
        try await HTTPService(configuration: configuration, dispatcher: dispatcher, logger: logger).run(
            isShuttingDown: isShuttingDown, onRunning: onRunning)
    }
}
