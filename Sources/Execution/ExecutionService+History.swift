import Fleet
import Logging
import Synchronization

extension ExecutionService {
    /// Inserts the history row. A failure is logged and tried again with the end of the run.
    func recordBeginning(of run: Run) async -> Bool {
        do {
            try await fleet.executions.begin(beginning(of: run))
            await fleet.environments.touchActivity(run.environment.id)
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
            code: run.request.code)
    }

    /// Sees to it that the end cannot be lost with this gateway: it is in the journal, or in the row. The run's own fate is
    /// not changed by a history that cannot be written: that is done later (``HistoryWriter``).
    func secure(_ ending: RunEnding, of run: Run, hasBegun: Bool) async {
        var entry = HistoryWriter.Entry(
            record: beginning(of: run), outcome: outcome(ending, of: run), actor: AuditActor(run.caller))
        if hasBegun, await isKept(entry) {
            entry.isInJournal = true
            if writer.add(entry) { return }
        }
        do {
            if !hasBegun, await !recordBeginning(of: run) { throw Unrecorded() }
            try await fleet.executions.finish(run.id, entry.outcome, actor: entry.actor)
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

    /// Whether the journal took it. Where it did not, the row is what the caller waits for.
    private func isKept(_ entry: HistoryWriter.Entry) async -> Bool {
        let id = entry.record.id
        do {
            return try await fleet.executions.journal.keep(.init(id: id, outcome: entry.outcome, actor: entry.actor))
        } catch {
            logger.info(
                "end of an execution not in the journal", metadata: ["execution": "\(id)", "error": "\(error)"])
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

private struct Unrecorded: Error, CustomStringConvertible {
    var description: String { "the beginning could not be recorded either" }
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
