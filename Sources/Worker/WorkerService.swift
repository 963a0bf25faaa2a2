package import Execution
package import Fleet
import JobQueue
package import Logging
package import Providers
import ServiceLifecycle

/// How a worker works.
package struct WorkerConfiguration: Sendable {
    /// Unique among the workers; shown in the audit log and in `CLIENT LIST`.
    package var name: String
    package var provisionConcurrency = 2
    package var controlConcurrency = 5
    /// How long a job may go without a sign of life before another worker takes it over.
    package var lockDuration = Duration.seconds(30)
    package var stalledInterval = Duration.seconds(30)
    package var reconcileInterval = Duration.seconds(30)
    package var stuckInterval = Duration.seconds(15)
    package var lostInterval = Duration.seconds(5)
    /// How often it looks for VMs that are idle or whose time is over, and for hosts to be emptied.
    package var idleInterval = Duration.seconds(15)
    package var pruneInterval = Duration.seconds(3_600)
    /// For how long the history of executions is kept.
    package var executionsKept = Duration.seconds(90 * 86_400)
    /// How often one that is not elected to sweep stands for election.
    package var electionInterval = Duration.seconds(1)
    /// How old a transitional state must be before its job is asked after; younger ones have it under way.
    package var stuckAge = Duration.seconds(15)
    /// How long an environment must have been `stopped` or `error` before a VM of it that runs is stopped.
    package var strayAge = Duration.seconds(60)
    /// What is installed in VMs that were made without a runner, to set them up; nil: all providers bring theirs.
    package var runner: RunnerFiles?

    package init(name: String) { self.name = name }
}

/// Takes jobs from the two queues and sweeps up what fell through.
///
/// Any number of workers share the queues. Sweeps that look at everything are done by one of them, the one that holds
/// an advisory lock in PostgreSQL; relaying the outbox needs no election, its rows are locked one by one.
package struct WorkerService: Sendable {
    private let fleet: Fleet
    private let providers: ProviderSet
    private let configuration: WorkerConfiguration
    private let logger: Logger

    package init(fleet: Fleet, providers: ProviderSet, configuration: WorkerConfiguration, logger: Logger) {
        self.fleet = fleet
        self.providers = providers
        self.configuration = configuration
        self.logger = logger
    }

    /// Works until shut down gracefully, when jobs under way are finished, or cancelled.
    package func run() async throws {
        let initializer = EnvironmentInitializer(fleet: fleet, runner: configuration.runner, logger: logger)
        let setups = SetupRunner(fleet: fleet, worker: configuration.name, logger: logger) {
            try await initializer.run($0)
        }
        let handler = EnvironmentHandler(
            fleet: fleet, providers: providers, name: configuration.name, onSetupDue: { setups.enqueue($0) },
            logger: logger)
        func worker(_ queue: JobQueue, concurrency: Int) -> QueueWorker {
            QueueWorker(
                queue: queue, name: configuration.name, concurrency: concurrency,
                lockDuration: configuration.lockDuration, stalledInterval: configuration.stalledInterval,
                logger: logger, handler: { try await handler.handle($0, $1) })
        }
        let provision = worker(fleet.provisionQueue, concurrency: configuration.provisionConcurrency)
        let control = worker(fleet.controlQueue, concurrency: configuration.controlConcurrency)
        let sweeper = Sweeper(fleet: fleet, providers: providers, configuration: configuration, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await provision.run() }
            group.addTask { try await control.run() }
            group.addTask { await cancelWhenGracefulShutdown { await sweeper.run() } }
            group.addTask { await cancelWhenGracefulShutdown { await setups.run() } }
            try await group.waitForAll()
        }
    }
}
