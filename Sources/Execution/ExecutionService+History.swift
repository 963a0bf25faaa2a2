import EventLoop
import Fleet
import Logging
import Synchronization

extension ExecutionService {
    /// Sees to it that the beginning cannot be lost with this gateway: it is in the journal, or in the row. A failure is
    /// logged, and the row written with the end of the run.
    func recordBeginning(of run: Run) async -> Bool {
        let record = beginning(of: run)
        do {
            if await isKept("beginning", of: run, { try await fleet.executions.journal.keep(record) }),
                writer.add(.init(record: record, outcome: nil, actor: AuditActor(run.caller)))
            {
                return true
            }
            try await fleet.executions.begin(record)
            return true
        } catch {
            logger.warning("beginning of an execution not recorded yet", metadata: metadata(of: run, error))
            return false
        }
    }

    private func beginning(of run: Run) -> ExecutionRecord {
        ExecutionRecord(
            id: run.id, userID: run.caller.userID, environmentID: run.environment.id,
            gatewayID: configuration.gatewayID, requestID: run.requestID, language: run.runtime.name,
            code: run.request.code, startedAt: run.calledAt)
    }

    /// Sees to it that the end cannot be lost with this gateway: it is in the journal, or in the row. The run's own fate is
    /// not changed by a history that cannot be written: that is done later (``HistoryWriter``).
    func secure(_ ending: RunEnding, of run: Run, hasBegun: Bool) async {
        let (record, outcome, actor) = (beginning(of: run), outcome(ending, of: run), AuditActor(run.caller))
        var entry = HistoryWriter.Entry(record: record, outcome: outcome, actor: actor)
        if hasBegun, await isKept(ending, of: run) {
            entry.isInJournal = true
            if writer.add(entry) { return }
        }
        do {
            try await fleet.executions.complete(record, outcome, actor: actor)
            await forget(run)
            await fleet.environments.touchActivity(run.environment.id)
        } catch {
            var metadata = metadata(of: run, error)
            metadata["ending"] = "\(ending)"
            if writer.add(entry) {
                logger.warning("end of an execution not recorded yet", metadata: metadata)
            } else {
                logger.error("execution missing from the history", metadata: metadata)
            }
        }
    }

    /// Has the journal take the end that the runner told, while what the run was in is being left: nearly always it is the
    /// ending.
    func keepSoon(_ report: ExitReport, of run: Run) {
        let isKept = Task(executorPreference: EventLoop.current?.tasks) { await self.keep(.exit(report), of: run) }
        run.toldEnd.withLock { $0 = (report, isKept) }
    }

    private func isKept(_ ending: RunEnding, of run: Run) async -> Bool {
        if let told = run.toldEnd.withLock({ $0 }) {
            let isKept = await told.isKept.value  // also where another end is to follow it
            if case .exit(told.report) = ending { return isKept }
        }
        return await keep(ending, of: run)
    }

    private func keep(_ ending: RunEnding, of run: Run) async -> Bool {
        let entry = ExecutionJournal.Entry(
            id: run.id, outcome: outcome(ending, of: run), actor: AuditActor(run.caller))
        return await isKept("end", of: run) { try await fleet.executions.journal.keep(entry) }
    }

    /// What is not forgotten here is by the sweep.
    private func forget(_ run: Run) async {
        do {
            try await fleet.executions.journal.forget(run.id)
        } catch {
            logger.info("execution still in the journal", metadata: metadata(of: run, error))
        }
    }

    /// Whether the journal took it. Where it did not, the row is what the caller waits for.
    private func isKept(_ what: String, of run: Run, _ keep: () async throws -> Bool) async -> Bool {
        do {
            return try await keep()
        } catch {
            logger.info("\(what) of an execution not in the journal", metadata: metadata(of: run, error))
            return false
        }
    }

    private func outcome(_ ending: RunEnding, of run: Run) -> ExecutionOutcome {
        var outcome: ExecutionOutcome
        switch ending {
        case .exit(let report):
            outcome = ExecutionOutcome(state: ExecutionState(report.reason))
            outcome.exitCode = report.exitCode
            outcome.signal = report.signal
            outcome.durationMs = report.durationMs
            outcome.cpuMs = report.cpuMs
            outcome.maxRssBytes = report.maxRssBytes
            outcome.truncated = report.truncated
        case .error(let error):
            outcome = ExecutionOutcome(state: .failed)
            outcome.errorCode = error.code
            outcome.errorMessage = error.message
        case .abandoned:
            outcome = ExecutionOutcome(state: .cancelled)
            outcome.durationMs = run.cancelledReport.durationMs
        }
        let output = run.output.withLock { $0 }
        outcome.stdout = output.stdout
        outcome.stderr = output.stderr
        outcome.stdoutBytes = output.stdoutBytes
        outcome.stderrBytes = output.stderrBytes
        return outcome
    }

    private func metadata(of run: Run, _ error: any Error) -> Logger.Metadata {
        ["execution": "\(run.id)", "request": "\(run.requestID)", "error": "\(error)"]
    }
}

extension ExecutionState {
    init(_ reason: ExitReport.Reason) {
        switch reason {
        case .exited: self = .exited
        case .signaled: self = .signaled
        case .timeout: self = .timeout
        case .memory: self = .memory
        case .processes: self = .processes
        case .cancelled: self = .cancelled
        case .outputLimit: self = .outputLimit
        }
    }
}
