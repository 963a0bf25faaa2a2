import EventLoop
package import Fleet
import Foundation
package import Logging
import SSH
import Synchronization

/// How executions are served by this process.
package struct ExecutionConfiguration: Sendable {
    /// Names this gateway among the others that share the database; unique, and new for every process.
    package var gatewayID: String
    /// The provider of VMs that are made because somebody runs code and has none.
    package var provider: String
    package var startTimeout: Duration = .seconds(60)
    package var provisionTimeout: Duration = .seconds(360)  // an OVH instance is given 300 s
    package var keepaliveInterval: Duration = .seconds(15)
    package var maximumExecutions = 4_096
    package var maximumSessions = 1_024
    /// What is installed in VMs that were made without a runner; nil: nothing.
    package var runner: RunnerFiles?
    /// Where it is then, and wherever else it is there from the beginning.
    package var runnerInVM = "/opt/martlet/martlet-runner"
    package var observer = ExecutionObserver.none

    package init(gatewayID: String, provider: String) {
        self.gatewayID = gatewayID
        self.provider = provider
    }
}

/// `executeCode`: finds the caller's VM, wakes it if it sleeps, runs the snippet in it and streams what it prints.
///
/// A call is one ``Run``. Under ``withExecution(_:caller:requestID:_:)`` two tasks work on it: one drives it (wake,
/// connect, converse with the runner) and puts events into the run's bounded queue; the caller's `body` takes them
/// out. A full queue suspends the driver, the unread channel fills its SSH window, and the program blocks in `write`.
/// Leaving `body` cancels the driver, which abandons the channel; the runner sees the end of it and kills the run.
///
/// Its beginning is in the journal before `started` is handed over, and its end before the last event is; the history's
/// row is written afterwards (``HistoryWriter``). Where the journal does not take them, the row is waited for.
/// Input and cancellation from other calls reach a run through ``running``, or, when another gateway serves it,
/// through that gateway's Redis channel (``GatewayLink``).
package final class ExecutionService: Sendable {
    let fleet: Fleet
    let catalog: RuntimeCatalog
    let configuration: ExecutionConfiguration
    let logger: Logger
    let sessions: SessionPool
    let installer: RunnerInstaller?
    let waker: Waker
    let link: GatewayLink
    let writer: HistoryWriter
    let running = Mutex<[ExecutionID: Run]>([:])
    let availability = Mutex<[EnvironmentID: RuntimeAvailability]>([:])
    let variables = VariableCache()

    /// How long a run that was told to die may take to say so before it is cut off.
    private static let killGrace = Duration.milliseconds(500)

    package init(
        fleet: Fleet, runtimes: RuntimeCatalog, configuration: ExecutionConfiguration, logger: Logger
    ) {
        self.fleet = fleet
        self.catalog = runtimes
        self.configuration = configuration
        self.logger = logger
        sessions = SessionPool(capacity: configuration.maximumSessions, logger: logger)
        installer = configuration.runner.map { RunnerInstaller(files: $0, logger: logger) }
        waker = Waker(
            fleet: fleet, startTimeout: configuration.startTimeout, provisionTimeout: configuration.provisionTimeout)
        writer = HistoryWriter(logger: logger) { entry in
            let (executions, id) = (fleet.executions, entry.record.id)
            guard let outcome = entry.outcome else {
                try await executions.begin(entry.record)
                return try await executions.journal.forgetBeginning(id)
            }
            try await executions.complete(entry.record, outcome, actor: entry.actor)
            if entry.isInJournal { try await executions.journal.forget(id) }
            await fleet.environments.touchActivity(entry.record.environmentID)
        }
        link = GatewayLink(redis: fleet.redis, gatewayID: configuration.gatewayID, logger: logger)
    }

    /// Keeps this gateway's heartbeat and takes input and cancellations from other gateways, until cancelled; then
    /// closes the sessions.
    package func run() async throws {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.fleet.presence.beat(self.configuration.gatewayID) }
                group.addTask { try await self.link.run { try await self.perform($0) } }
                group.addTask { try await self.writer.run() }
                group.addTask { try await self.fleet.environments.routes.run() }
                try await group.waitForAll()
            }
        } catch {
            await Task { await sessions.close() }.value  // although this task is cancelled
            throw error
        }
    }

    /// How many executions are under way here.
    package var executionsRunning: Int { running.withLock { $0.count } }

    /// How many SSH sessions are kept here.
    package var sessionsOpen: Int { get async { await sessions.count } }

    /// Runs one snippet, lending its events to `body`. Leaving `body`, by return, throw or cancellation, ends the run.
    ///
    /// Throws `ServiceError` before `body` is called when the request can never run: `unknown_language`,
    /// `invalid_request`, `limit_exceeded`, `environment_not_found`, `vm_failed`, `vm_destroyed`,
    /// `too_many_executions`, `network_denied`. From then on every failure is the last event.
    package func withExecution<Result>(
        _ request: ExecutionRequest, caller: Caller, requestID: String,
        _ body: (ExecutionID, ExecutionEvents) async throws -> Result
    ) async throws -> Result {
        let run = try await admitted(request, caller: caller, requestID: requestID)
        try register(run)
        defer { running.withLock { $0[run.id] = nil } }
        let pulse = Pulse(run.events, after: configuration.keepaliveInterval)
        defer { pulse.stop() }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.drive(run) }
            defer { group.cancelAll() }
            return try await body(run.id, ExecutionEvents(queue: run.events))
        }
    }

    /// A function of its own, for what it holds is not to be held as long as the program runs.
    private func admitted(_ request: ExecutionRequest, caller: Caller, requestID: String) async throws -> Run {
        let runtime = try catalog.runtime(named: request.language)
        try request.checkSurroundings()
        let limits = try request.resolvedLimits(tier: caller.tier, runtime: runtime)
        let environment = try await resolve(request.environment, caller: caller, requestID: requestID)
        try request.checkNetwork(in: environment)
        return Run(
            request: request, runtime: runtime, limits: limits, caller: caller, requestID: requestID,
            environment: environment, observer: configuration.observer)
    }

    private func register(_ run: Run) throws(ServiceError) {
        let limit = configuration.maximumExecutions
        let isRegistered = running.withLock { running in
            guard running.count < limit else { return false }
            running[run.id] = run
            return true
        }
        guard isRegistered else {
            throw ServiceError(
                .tooManyExecutions, "This gateway already serves \(limit) executions.", hint: "Try again in a moment.")
        }
    }

    /// The environment named, if it is the caller's; else the caller's own VM, which is created if there is none.
    func resolve(_ name: String?, caller: Caller, requestID: String) async throws -> Environment {
        let routes = fleet.environments.routes
        if let kept = routes.environment(name, of: caller.userID) { return kept }
        let epoch = routes.epoch
        let environment: Environment
        if let name {
            do {
                environment = try await fleet.environments.authorized(
                    name, for: caller, to: "execute", requestID: requestID, admitsAdmins: false)
            } catch let error as ServiceError where error.code == .environmentNotFound {
                throw ServiceError(
                    .environmentNotFound, "You have no environment '\(name.prefix(64))'.",
                    hint: "Leave 'environment' out to use your own VM.")
            }
        } else if let own = try await fleet.environments.userVM(of: caller.userID) {
            environment = own
        } else {
            environment = try await fleet.environments.createUserVM(
                for: caller, requestID: requestID, provider: configuration.provider)
        }
        switch environment.state {
        case .error: throw Waker.failed(environment)
        case .destroying, .destroyed: throw Waker.destroyed(environment)
        case .running:
            routes.keep(environment, name, of: caller.userID, since: epoch)
            return environment
        case .requested, .provisioning, .starting, .stopping, .stopped: return environment
        }
    }

    // MARK: Driving

    /// Takes the run from its environment's state to its last event.
    private func drive(_ run: Run) async {
        let ending = await ending(of: run)
        await run.input.finish()
        // Outlives the caller, as the beginning does: a run that was cancelled is recorded too.
        await Task(executorPreference: EventLoop.current?.tasks) {
            let hasBegun = run.hasStarted ? (try? await run.begun.value()) ?? false : false
            await self.secure(ending, of: run, hasBegun: hasBegun)
        }.value
        run.timeline.end(ending, language: run.runtime.name)
        switch ending {
        case .exit(let report): run.events.finish(with: .exit(report))
        case .error(let error): run.events.finish(with: .error(error))
        case .abandoned: run.events.finish()
        }
    }

    private func ending(of run: Run) async -> RunEnding {
        do {
            return .exit(try await reportOrCancellation(of: run))
        } catch is CancellationError where Task.isCancelled {
            return .abandoned
        } catch is CancellationError {
            // Not the caller's doing: this gateway is closing what the run needs.
            return .error(
                ServiceError(
                    .executionLost, "The gateway was shut down while the execution was under way.",
                    hint: "Whether the program finished is not known. Look before you run it again."))
        } catch let error as ServiceError {
            return .error(error)
        } catch {
            logger.error(
                "execution failed for a reason that has no code",
                metadata: ["execution": "\(run.id)", "request": "\(run.requestID)", "error": "\(error)"])
            return .error(
                ServiceError(
                    .internalError, "The execution failed inside Martlet.",
                    hint: "Try again; tell an admin the request id if it stays.", cause: error))
        }
    }

    private func reportOrCancellation(of run: Run) async throws -> ExitReport {
        try await withThrowingTaskGroup(of: ExitReport.self) { group in
            group.addTask { try await self.report(of: run) }
            group.addTask {
                try await run.cancelled()
                if run.hasStarted {
                    await run.input.signal(SIGKILL)
                    try await Task.sleep(for: Self.killGrace)
                }
                return run.cancelledReport
            }
            defer { group.cancelAll() }
            guard var report = try await group.next() else { throw CancellationError() }
            if run.isCancelled, report.exitCode == nil { report.reason = .cancelled }  // else it had ended by itself
            return report
        }
    }

    /// Wakes the VM and runs. A VM that turns out to be gone, or goes before the program has started, is woken and
    /// tried again; one that goes later is a run that was lost.
    ///
    /// What this function holds is held as long as the program runs, for each of thousands: so no more than it has to.
    private func report(of run: Run) async throws -> ExitReport {
        var environment = try await woken(run.environment, for: run)
        var failures = 0
        while true {
            let failure: any Error
            do {
                return try await converse(run, in: environment)
            } catch let error as ServiceError where error.code == .hostKeyMismatch && failures == 0 {
                failure = error
            } catch let error as VMUnreachable {
                fleet.environments.routes.forget(run.caller.userID)
                guard failures < 2 else { throw error.serviceError(environment) }
                failure = error
            }
            failures += 1
            environment = try await found(environment, for: run, because: failure)
        }
    }

    private func woken(_ environment: Environment, for run: Run) async throws -> Environment {
        if environment.state == .running { return environment }
        return try await waker.wake(environment, for: run.caller, requestID: run.requestID) { progress, message in
            try await run.events.send(.status(progress, message: message))
        }
    }

    /// Has a worker look what became of a VM that could not be used, and wakes what is there now.
    private func found(
        _ environment: Environment, for run: Run, because failure: any Error
    ) async throws -> Environment {
        guard failure is VMUnreachable else {
            // It may have ended unseen and its address gone to another: then it is not where its row says.
            try await run.events.send(
                .status(.connecting, message: "Another machine answers; looking what became of the VM."))
            guard let found = try? await waker.reconcile(environment, requestID: run.requestID, because: failure),
                found.generation != environment.generation
            else {
                try Task.checkCancellation()
                throw failure
            }
            return try await woken(found, for: run)
        }
        logger.info(
            "VM not reached, asking a worker to look",
            metadata: ["environment": "\(environment.id)", "request": "\(run.requestID)", "error": "\(failure)"])
        try await run.events.send(
            .status(.connecting, message: "The VM does not answer; looking what became of it."))
        return try await woken(
            try await waker.reconcile(environment, requestID: run.requestID, because: failure), for: run)
    }
}

/// How a run ended, for its caller and for the history.
enum RunEnding: Sendable {
    case exit(ExitReport)
    case error(ServiceError)
    case abandoned  // its caller went away
}
