import EventLoop
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

/// Listens, and has each request answered by a dispatcher.
struct HTTPService: Sendable {
    let configuration: GatewayConfiguration
    let dispatcher: Dispatcher
    let logger: Logger

    /// How long requests that are cut short may take to say so; then their connections are closed.
    private static let lastWords = Duration.seconds(5)

    /// Serves until the graceful shutdown is over or the task is cancelled. Throws if it cannot listen.
    func run(isShuttingDown: Latch, onRunning: @escaping @Sendable (_ port: Int) async -> Void) async throws {
        let cutsShort = Latch()
        let setup = ConnectionSetup(configuration: configuration, cutsShort: cutsShort) { [dispatcher] exchange in
            await dispatcher.answer(exchange)
        }
        let server = setup.server(
            configuration: ServerConfiguration(
                address: .hostname(configuration.host, port: configuration.port), backlog: 1_024,
                availableConnectionsDelegate: MaximumAvailableConnections(configuration.maximumConnections)),
            onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? 0) },
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { [configuration, logger] in
                try await gracefulShutdown()
                isShuttingDown.open()
                try await Task.sleep(for: configuration.drainTimeout)  // the server ends before if it can
                logger.warning("requests outlast the shutdown and are ended")
                cutsShort.open()
                try await Task.sleep(for: Self.lastWords)  // the server ends before if it can
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }
}
