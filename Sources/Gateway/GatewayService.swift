import EventLoop
package import Execution
package import Fleet
import HTTPTypes
import HummingbirdCore
package import Logging
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
/// `drainTimeout`; runs that still go on end with an `error` event; what is left two seconds later is cut.
package struct GatewayService: Service {
    private let operations: GatewayOperations
    private let configuration: GatewayConfiguration
    private let logger: Logger
    private let onRunning: @Sendable (_ port: Int) async -> Void

    /// `onRunning` is called once connections are accepted, with the port.
    package init(
        execution: ExecutionService, fleet: Fleet, configuration: GatewayConfiguration, logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) {
        self.init(
            operations: .live(
                execution: execution, fleet: fleet, provider: configuration.provider, catalog: configuration.catalog),
            configuration: configuration, logger: logger, onRunning: onRunning)
    }

    init(
        operations: GatewayOperations, configuration: GatewayConfiguration, logger: Logger,
        onRunning: @escaping @Sendable (_ port: Int) async -> Void
    ) {
        self.operations = operations
        self.configuration = configuration
        self.logger = logger
        self.onRunning = onRunning
    }

    /// Serves until the graceful shutdown is over or the task is cancelled. Throws if it cannot listen.
    package func run() async throws {
        let isShuttingDown = Latch()
        let cutsShort = Latch()
        let authentication = Authentication(authenticate: operations.authenticate)
        let budget = BufferBudget(bytes: configuration.bufferedOutputTotal)
        let dispatcher = Dispatcher(
            table: RouteTable(
                routes: ExecutionRoutes(operations: operations, configuration: configuration, budget: budget).routes
                    + VMRoutes(operations: operations).routes + RuntimeRoutes(operations: operations).routes
                    + TokenRoutes(operations: operations, configuration: configuration).routes
                    + HealthRoutes(operations: operations, isShuttingDown: isShuttingDown).routes,
                subtrees: [
                    TRPCRouter(
                        operations: operations, configuration: configuration, budget: budget,
                        authentication: authentication
                    ).subtree
                ]),
            authentication: authentication)
        let setup = ConnectionSetup(configuration: configuration, cutsShort: cutsShort) { exchange in
            await dispatcher.answer(exchange)
        }
        let server = setup.server(
            configuration: ServerConfiguration(
                address: .hostname(configuration.host, port: configuration.port), backlog: 1_024,
                availableConnectionsDelegate: MaximumAvailableConnections(configuration.maximumConnections)),
            onServerRunning: { [onRunning] channel in await onRunning(channel.localAddress?.port ?? 0) },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { [configuration, logger] in
                try await gracefulShutdown()
                isShuttingDown.open()
                try await Task.sleep(for: configuration.drainTimeout)  // the server ends before if it can
                logger.warning("requests outlast the shutdown and are ended")
                cutsShort.open()
                try await Task.sleep(for: .seconds(2))  // for their last words
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
