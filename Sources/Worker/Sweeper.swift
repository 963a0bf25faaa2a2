import Fleet
import JobQueue
import Logging
import PostgreSQL
import Providers

/// Finds what no job will: jobs that never reached Redis, states that nobody moves on, executions whose gateway died,
/// VMs that are not as recorded, and whatever the passing of time calls for. Each sweep is repeated at its interval; one
/// that fails is logged and tried again.
struct Sweeper: Sendable {
    let fleet: Fleet
    let providers: ProviderSet
    let configuration: WorkerConfiguration
    let logger: Logger

    /// Names the advisory lock of the elected sweeper: "martlet" in ASCII.
    private static let lock: Int64 = 0x6D61_7274_6C65_74

    /// Sweeps until cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await relay() }
            group.addTask { await sweepWhileElected() }
        }
    }

    // MARK: Outbox

    /// Every second: nearly all rows are gone by then, published by whoever wrote them.
    private func relay() async {
        await repeating("outbox not relayed", every: .seconds(1)) {
            while try await fleet.outbox.relay() == 100 {}
        }
    }

    // MARK: Elected sweeps

    private func sweepWhileElected() async {
        await repeating("sweeps interrupted", every: configuration.electionInterval) {
            try await fleet.database.withConnection { connection in
                let rows = try await connection.query("SELECT pg_try_advisory_lock(\(Self.lock)) AS elected")
                guard try rows.first?.decode("elected", as: Bool.self) == true else { return }
                logger.info("elected to sweep", metadata: ["worker": "\(configuration.name)"])
                let ending: Result<Void, any Error>
                do {
                    ending = .success(try await sweep(whileHolding: connection))
                } catch {
                    ending = .failure(error)
                }
                await Task {
                    // The connection goes back to the pool, and must not take the lock with it.
                    _ = try? await connection.query("SELECT pg_advisory_unlock(\(Self.lock))")
                }.value
                try ending.get()
            }
        }
    }

    /// Sweeps until the connection that holds the lock is lost, which it throws, or cancelled.
    private func sweep(whileHolding connection: PostgresConnection) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while true {
                    try await Task.sleep(for: .seconds(2))
                    _ = try await connection.query("SELECT 1")
                }
            }
            group.addTask {
                await repeating("VMs not reconciled", every: configuration.reconcileInterval) {
                    try await Reconciler(
                        fleet: fleet, providers: providers, worker: configuration.name, logger: logger
                    ).sweep(strayAge: configuration.strayAge)
                }
            }
            group.addTask {
                await repeating("stuck states not swept", every: configuration.stuckInterval) { try await unstick() }
            }
            group.addTask {
                await repeating("lost executions not swept", every: configuration.lostInterval) { try await lose() }
            }
            let timekeeper = Timekeeper(fleet: fleet, actor: .worker(configuration.name), logger: logger)
            group.addTask {
                await repeating("idle and expired VMs not swept", every: configuration.idleInterval) {
                    try await timekeeper.sweep()
                }
            }
            group.addTask {
                await repeating("old records not pruned", every: configuration.pruneInterval) {
                    try await timekeeper.prune(executionsOlderThan: configuration.executionsKept)
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    /// Sees to it that every environment on its way has its job, Redis having been lost or not; one whose job has
    /// used up its attempts goes to `error`.
    private func unstick() async throws {
        let stuck = try await fleet.environments.list(
            states: [.provisioning, .starting, .stopping, .destroying], unchangedFor: configuration.stuckAge,
            limit: 500)
        for environment in stuck {
            guard try await fleet.outbox.ensureJob(for: environment) == .failed, let job = environment.pendingJob else {
                continue
            }
            _ = try await fleet.environments.move(
                environment.id, from: environment.state, generation: environment.generation, to: .error,
                change: EnvironmentChange(errorMessage: "Job \(job.id) has used up its attempts."),
                actor: .worker(configuration.name), action: "sweep")
        }
    }

    private func lose() async throws {
        guard let alive = try await fleet.presence.alive() else { return }
        let lost = try await fleet.executions.loseAbandoned(
            gatewaysAlive: alive, actor: .worker(configuration.name))
        for id in lost { logger.warning("execution lost with its gateway", metadata: ["execution": "\(id)"]) }
    }

    // MARK: Repetition

    private func repeating(_ failure: Logger.Message, every interval: Duration, _ body: () async throws -> Void) async {
        while !Task.isCancelled {
            do {
                try await body()
            } catch is CancellationError {
                return
            } catch {
                logger.warning(failure, metadata: ["error": "\(error)"])
            }
            do { try await Task.sleep(for: interval) } catch { return }
        }
    }
}
