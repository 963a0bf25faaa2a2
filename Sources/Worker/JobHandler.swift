import Fleet
import Foundation
import JobQueue
import Logging
import Providers

/// Carries out the jobs of `vm-provision` and `vm-control`, each by the handler of its kind.
struct JobHandler: Sendable {
    let environments: EnvironmentHandler
    let unknownVMs: UnknownVMHandler

    init(
        fleet: Fleet, providers: ProviderSet, configuration: WorkerConfiguration, logger: Logger,
        onSetupDue: @escaping @Sendable () -> Void = {}
    ) {
        let absence = Absence(workers: fleet.workers, limit: configuration.absenceLimit, logger: logger)
        environments = EnvironmentHandler(
            fleet: fleet, providers: providers, name: configuration.name, absence: absence,
            outages: Outages(limit: configuration.outageLimit), onSetupDue: onSetupDue, logger: logger)
        unknownVMs = UnknownVMHandler(
            fleet: fleet, providers: providers, name: configuration.name, absence: absence, logger: logger)
    }

    /// Carries out one job and returns its result as JSON. Throws to have it tried again, `UnrecoverableJobError` to
    /// have it fail now, `DelayedJob` to have it put off.
    func handle(_ job: Job, _ context: JobContext) async throws -> String? {
        let result =
            if let action = EnvironmentAction(rawValue: job.name) {
                try await environments.handle(action, job, context)
            } else if job.name == UnknownVMJob.name {
                try await unknownVMs.handle(job, context)
            } else {
                throw UnrecoverableJobError(reason: "no worker knows a job '\(job.name)'")
            }
        return (try? JSONEncoder().encode(["result": result])).map { String(decoding: $0, as: UTF8.self) }
    }
}
