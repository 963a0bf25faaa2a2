import Cryptography
import Fleet
import Foundation
import JobQueue
import Logging
import Providers

/// Carries out what is to be done to environments.
///
/// A job may run twice, beside itself on another worker, or die at any line. Two rules make that harmless: the
/// provider's operations can all be repeated, and what a job changes in the database is one compare-and-set on the
/// generation that the job was made for. A job whose environment has moved on has nothing to do and says so.
///
/// A job for a provider that this worker does not have is put back for another (``Absence``), one that meets an engine or
/// a database which does not answer is put off (``Outages``); neither spends an attempt.
struct EnvironmentHandler: Sendable {
    let fleet: Fleet
    let providers: ProviderSet
    let name: String  // the worker's, for the audit log
    let absence: Absence
    let outages: Outages
    /// Told when an environment runs whose setup is to be carried out.
    let onSetupDue: @Sendable () -> Void
    let logger: Logger

    /// Carries out one job and says what came of it. After the last attempt, or at a failure that no attempt would mend,
    /// the environment is in `error`, with the reason.
    func handle(_ action: EnvironmentAction, _ job: Job, _ context: JobContext) async throws -> String {
        let order: EnvironmentJob
        do {
            order = try EnvironmentJob(json: job.data)
        } catch {
            throw UnrecoverableJobError(reason: String(describing: error))
        }
        var found: Environment?
        do {
            found = try await fleet.environments.find(order.environmentID)
            guard let environment = found else {
                throw UnrecoverableJobError(reason: "there is no environment \(order.environmentID)")
            }
            let result = try await carryOut(action, on: environment, order, job)
            outages.end(Outages.servers)
            return result
        } catch let error where error is CancellationError || error is DelayedJob || error is UnrecoverableJobError {
            throw error  // a cancelled one will be run again: this worker is going down, or lost the job to another
        } catch {
            if Task.isCancelled { throw error }
            try await putOff(error, job, found)
            if let found { try await settle(error, action: action, environment: found, order: order, context: context) }
            throw error
        }
    }

    private func carryOut(
        _ action: EnvironmentAction, on environment: Environment, _ order: EnvironmentJob, _ job: Job
    ) async throws -> String {
        let isDue = environment.generation == order.generation && environment.pendingJob?.action == action
        guard isDue || action == .reconcile else {
            // Whoever moved it for this job may have died before telling. What is told twice does no harm.
            if environment.generation == order.generation + 1, environment.state == action.outcome {
                await tellEnd(of: action, environment)
            }
            return "nothing to do: the environment is '\(environment.state)' by now"
        }
        guard let provider = ProviderKind(rawValue: environment.provider).flatMap(providers.find) else {
            return try await giveUp(job, environment, action, order)
        }
        let result =
            action == .reconcile
            ? try await reconcile(environment, order, provider)
            : try await perform(action, on: environment, order, provider)
        outages.end(environment.provider)
        return result
    }

    // MARK: Actions

    private func perform(
        _ action: EnvironmentAction, on environment: Environment, _ order: EnvironmentJob, _ provider: any VMProvider
    ) async throws -> String {
        let began = ContinuousClock.now
        let next: EnvironmentState
        var change = EnvironmentChange()
        switch action {
        case .provision, .start:
            let instance = try await instance(of: environment, provider)
            await say(environment, .info, "Starting the VM.")
            let endpoint =
                provider.kind.givesEgress
                ? try await provider.start(instance, network: environment.network, log: log(of: environment))
                : try await provider.start(instance)
            change.endpoint = EnvironmentEndpoint(endpoint)
            next = .running
        case .stop:
            if let instance = environment.instanceID { try await provider.stop(instance) }
            next = .stopped
        case .destroy:
            // A provision that died may have made a VM that the row does not name yet; its name is known.
            try await provider.destroy(environment.instanceID ?? VMInstance.ID(rawValue: environment.vmName))
            next = .destroyed
        case .reconcile:
            return "reconciled"
        }
        let duration = ContinuousClock.now - began
        let moved = try await fleet.environments.move(
            environment.id, from: environment.state, generation: environment.generation, to: next, change: change,
            actor: .worker(name), action: action.rawValue, requestID: order.requestID,
            detail: ["durationMs": String(Int(duration / .milliseconds(1)))])
        guard let moved else { return "done, but the environment was moved by somebody else meanwhile" }
        await tellEnd(of: action, moved, after: duration)
        if moved.state == .running, moved.needsInitialization { onSetupDue() }
        return next.rawValue
    }

    /// The VM of the environment, made or brought in line with the row if need be: a start whose VM is gone makes it
    /// anew rather than fail.
    private func instance(of environment: Environment, _ provider: any VMProvider) async throws -> VMInstance.ID {
        if environment.state == .starting, let instance = environment.instanceID {
            switch try await provider.status(instance) {
            case .running, .stopped, .error: return instance
            case .provisioning: break  // half made: to make it again is to go on with it
            case .missing: try await fleet.environments.clearInitialized(environment.id)
            }
        }
        let secrets = try await fleet.environments.secrets(for: environment.id)
        let spec = VMSpec(
            name: environment.vmName, vcpus: environment.vcpus, memoryMb: environment.memoryMb,
            diskMb: environment.diskMb, processes: environment.processes,
            network: environment.network && provider.kind.givesEgress, authorizedKeys: [secrets.clientKey.publicKey],
            hostKey: secrets.hostKey,
            runnerSecret: secrets.runnerSecret, flavor: environment.flavor, region: environment.region)
        await say(environment, .info, "Making a \(provider.kind.rawValue) VM: \(spec).")
        let instance = try await provider.create(spec, log: log(of: environment))
        try await fleet.environments.setProviderInstance(instance.id.rawValue, of: environment)
        return instance.id
    }

    /// Compares a running environment with what the provider says, for somebody who could not reach it.
    private func reconcile(
        _ environment: Environment, _ order: EnvironmentJob, _ provider: any VMProvider
    ) async throws -> String {
        defer { logger.info("environment reconciled", metadata: ["environment": "\(environment.id)"]) }
        guard environment.state == .running, environment.generation == order.generation else {
            await fleet.signals.publish(environment)
            return "nothing to do: the environment is '\(environment.state)' by now"
        }
        let found = try await Reconciler(fleet: fleet, worker: name, logger: logger)
            .compare(environment, provider)
        // Whoever waits tries again, also when nothing was found: the fault was between them and the VM.
        switch found {
        case .asRecorded, .movedElsewhere: await fleet.signals.publish(environment)
        case .notRunning, .gone: break  // told by the move
        }
        return found.rawValue
    }

    // MARK: Want of a provider, or of an answer

    /// Throws ``DelayedJob`` as long as another worker may take the job; then gives it up: moves the environment to
    /// `error`, or tells who waits for a comparison that there will be none.
    private func giveUp(
        _ job: Job, _ environment: Environment, _ action: EnvironmentAction, _ order: EnvironmentJob
    ) async throws -> String {
        let waited = try await absence.waitElsewhere(
            forProvider: environment.provider,
            since: action == .reconcile ? job.timestamp : environment.stateChangedAt)
        if action == .reconcile {
            await fleet.signals.publish(environment)
            return "no worker has its provider"
        }
        let reason = """
            There is no worker with the provider '\(environment.provider)'; the job waited \(Int(waited / .seconds(1))) s \
            for one. Start one with '--provider \(environment.provider)', then recover the environment.
            """
        let moved = try await fleet.environments.move(
            environment.id, from: environment.state, generation: environment.generation, to: .error,
            change: EnvironmentChange(errorMessage: reason), actor: .worker(name), action: action.rawValue,
            requestID: order.requestID, detail: ["code": ProviderError.Code.unavailable.rawValue])
        guard moved != nil else { return "nothing to do: the environment was moved by somebody else meanwhile" }
        await say(environment, .error, reason)
        throw UnrecoverableJobError(reason: reason)
    }

    /// Throws ``DelayedJob`` if the error tells of something that cannot be reached, unless that has gone on for too long.
    private func putOff(_ error: any Error, _ job: Job, _ environment: Environment?) async throws {
        let target = Outages.target(of: error, provider: environment?.provider)
        guard let target, let rest = outages.rest(job.id, awaiting: target) else { return }
        if rest.isFirst {
            logger.warning("job put off", metadata: ["job": "\(job.id)", "error": "\(error)"])
            if let environment, let failure = error as? ProviderError {
                await say(environment, .info, "\(failure.message) It is tried again until it does.")
            }
        }
        throw DelayedJob(for: rest.duration)
    }

    // MARK: Failure

    /// After the last attempt, or at a failure that no attempt would mend, the environment goes to `error`.
    private func settle(
        _ error: any Error, action: EnvironmentAction, environment: Environment, order: EnvironmentJob,
        context: JobContext
    ) async throws {
        let failure = error as? ProviderError
        let isFinal = context.isLastAttempt || failure.map { !$0.isRetryable } ?? false
        let reason = failure.map { "\($0.message) \($0.hint)" } ?? "\(action.rawValue) failed inside Martlet"
        logger.error(
            "job of an environment failed",
            metadata: [
                "environment": "\(environment.id)", "job": "\(context.job.id)", "final": "\(isFinal)",
                "error": "\(error)",
            ])
        await context.log("\(reason)")
        guard isFinal else {
            await say(environment, .info, "\(reason) Trying again.")
            return
        }
        await say(environment, .error, reason)
        _ = try await fleet.environments.move(
            environment.id, from: environment.state, generation: environment.generation, to: .error,
            change: EnvironmentChange(errorMessage: reason), actor: .worker(name), action: action.rawValue,
            requestID: order.requestID, detail: ["code": failure?.code.rawValue ?? "internal_error"])
        throw UnrecoverableJobError(reason: reason)
    }

    // MARK: Telling

    /// Who waits for the end of a provision looks for its word.
    private func tellEnd(of action: EnvironmentAction, _ environment: Environment, after duration: Duration? = nil)
        async
    {
        let what = action == .provision ? "Provisioning complete: the VM" : "The VM"
        let time = duration.map { " (\(Int($0 / .milliseconds(1))) ms)" } ?? ""
        await say(environment, .success, "\(what) is \(environment.state.rawValue)\(time).")
    }

    private func say(
        _ environment: Environment, _ level: ProvisionLogEntry.Level, _ message: String
    ) async {
        await fleet.provisionLog.append(environment.userID, of: environment.id, level, message)
    }

    private func log(of environment: Environment) -> ProvisionLog {
        ProvisionLog { level, message in
            let level: ProvisionLogEntry.Level =
                switch level {
                case .info, .warning: .info
                case .error: .error
                }
            await say(environment, level, message)
        }
    }

}

extension EnvironmentAction {
    /// The state that it leads to; `nil` where it leads nowhere.
    var outcome: EnvironmentState? {
        switch self {
        case .provision, .start: .running
        case .stop: .stopped
        case .destroy: .destroyed
        case .reconcile: nil
        }
    }
}

extension Environment {
    var instanceID: VMInstance.ID? { self.providerInstanceID.map { VMInstance.ID(rawValue: $0) } }
}

extension EnvironmentEndpoint {
    init(_ endpoint: VMEndpoint) {
        self.init(host: endpoint.host, port: endpoint.port, user: endpoint.user, runnerPort: endpoint.runnerPort)
    }
}
