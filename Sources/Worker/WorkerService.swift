import Execution
package import Fleet
import JobQueue
package import Logging
package import Providers
import ServiceLifecycle
import Telemetry

/// Takes jobs from the two queues, carries out setups, and sweeps up what fell through.
///
/// Any number of workers share the queues. Graceful shutdown: nothing new is taken, what is under way ends; what has not
/// after ``WorkerConfiguration/drainTimeout`` is put back for another worker, without spending an attempt.
package struct WorkerService: Sendable {
    private let fleet: Fleet
    private let providers: ProviderSet
    private let configuration: WorkerConfiguration
    private let metrics: WorkerMetrics
    private let logger: Logger

    package init(
        fleet: Fleet, providers: ProviderSet, configuration: WorkerConfiguration,
        metrics: WorkerMetrics? = nil, logger: Logger
    ) {
        self.fleet = fleet
        self.providers = providers
        self.configuration = configuration
        self.metrics = metrics ?? WorkerMetrics(in: MetricRegistry())
        self.logger = logger
    }

    /// Works until shut down gracefully, or cancelled.
    package func run() async throws {
        let kinds = providers.kinds.map(\.rawValue)
        let initializer = EnvironmentInitializer(fleet: fleet, runner: configuration.runner, logger: logger)
        let setups = SetupRunner(
            fleet: fleet, providers: kinds, worker: configuration.name, interval: configuration.setupInterval,
            logger: logger, initialize: { try await initializer.run($0) })
        let handler = JobHandler(
            fleet: fleet, providers: providers, configuration: configuration, logger: logger,
            onSetupDue: { setups.wake() })
        let queues = [
            worker(on: fleet.provisionQueue, concurrency: configuration.provisionConcurrency, handler),
            worker(on: fleet.controlQueue, concurrency: configuration.controlConcurrency, handler),
        ]
        let sweeper = Sweeper(
            fleet: fleet, providers: providers, configuration: configuration, metrics: metrics, logger: logger)
        let drain = Drain(limit: configuration.drainTimeout, logger: logger)
        try await drain.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for queue in queues { group.addTask { try await queue.run() } }
                group.addTask { await setups.run() }
                group.addTask { await cancelWhenGracefulShutdown { await sweeper.run() } }
                group.addTask { await cancelWhenGracefulShutdown { await tellPresence(of: kinds) } }
                try await group.waitForAll()
            }
        }
    }

    private func worker(on queue: JobQueue, concurrency: Int, _ handler: JobHandler) -> QueueWorker {
        QueueWorker(
            queue: queue, name: configuration.name, concurrency: concurrency,
            lockDuration: configuration.lockDuration, stalledInterval: configuration.stalledInterval,
            logger: logger, handler: { try await handler.handle($0, $1) })
    }

    private func tellPresence(of kinds: [String]) async {
        do {
            try await fleet.workers.beat(configuration.name, providers: kinds)
        } catch {
            // Told to stop. If nobody hears it, the last beat is forgotten in ten seconds.
            await Task { [fleet, configuration] in
                try? await fleet.workers.leave(configuration.name, providers: kinds)
            }.value
        }
    }
}
