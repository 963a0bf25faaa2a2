import Fleet
import JobQueue
import Logging
import Providers

/// Finds what no job will: jobs that never reached Redis, states that nobody moves on, executions whose gateway died,
/// VMs that are not as recorded, and whatever the passing of time calls for.
///
/// Any worker relays the outbox: its rows are locked one by one. What looks at every row is done by one worker, what
/// looks at every VM of a provider by one of those that have it (``Election``).
struct Sweeper: Sendable {
    let fleet: Fleet
    let providers: ProviderSet
    let configuration: WorkerConfiguration
    let metrics: WorkerMetrics
    let logger: Logger

    /// Sweeps until cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            // Nearly all rows are gone by then, published by whoever wrote them.
            let relay = Sweep("relay", every: configuration.relayInterval) {
                while try await fleet.outbox.relay() == 100 {}
            }
            group.addTask { await relay.run(metrics, logger) }
            group.addTask { await whileElected("sweeps", sweeps) }
            for provider in providers.all {
                let compare = Sweep("reconcile", every: configuration.reconcileInterval) {
                    try await Reconciler(fleet: fleet, worker: configuration.name, logger: logger)
                        .sweep(provider, strayAge: configuration.strayAge)
                }
                group.addTask { await whileElected("reconcile \(provider.kind.rawValue)", [compare]) }
            }
        }
    }

    private func whileElected(_ office: String, _ sweeps: [Sweep]) async {
        let election = Election(
            database: fleet.database, office: office, worker: configuration.name,
            interval: configuration.electionInterval, logger: logger)
        await election.run {
            await withTaskGroup(of: Void.self) { group in
                for sweep in sweeps { group.addTask { await sweep.run(metrics, logger) } }
            }
        }
    }

    /// What looks at every row.
    private var sweeps: [Sweep] {
        let time = Timekeeper(fleet: fleet, actor: .worker(configuration.name), logger: logger)
        return [
            Sweep("stuck", every: configuration.sweepInterval) { try await unstick() },
            Sweep("lost", every: configuration.lostInterval) { try await lose() },
            Sweep("idle", every: configuration.sweepInterval) { try await time.stopIdle() },
            Sweep("expired", every: configuration.sweepInterval) { try await time.destroyExpired() },
            Sweep("hours", every: configuration.sweepInterval) { try await time.stopOutOfHours() },
            Sweep("hosts", every: configuration.sweepInterval) { try await time.emptyHosts() },
            Sweep("drained", every: configuration.sweepInterval) { try await time.settleHosts() },
            // Several times a minute, so that none is missed.
            Sweep("samples", every: configuration.sampleInterval) { try await fleet.samples.record() },
        ] + Pruner(fleet: fleet, configuration: configuration, metrics: metrics, logger: logger).sweeps
    }

    /// Sees to it that every environment on its way has its job, Redis having been lost or not; one whose job has
    /// used up its attempts goes to `error`.
    private func unstick() async throws {
        let stuck = try await fleet.environments.list(
            states: [.provisioning, .starting, .stopping, .destroying], unchangedFor: configuration.stuckAge,
            limit: 500)
        try await stuck.eachAlone { environment in
            guard try await fleet.outbox.ensureJob(for: environment) == .failed, let job = environment.pendingJob else {
                return
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
}
