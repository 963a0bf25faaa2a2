import Execution
import Fleet
import Glibc

extension ExitReport {
    /// What tRPC's clients are to take for an error although the program ran: it did not run to its end.
    var fault: TRPCFault? {
        switch reason {
        case .exited, .signaled, .memory, .processes, .cancelled: return nil
        case .timeout:
            return TRPCFault(
                ServiceError(
                    .limitExceeded, "The program ran too long and was stopped after \(Int(durationMs)) ms.",
                    hint: "Make it faster, or ask for a longer 'timeoutMs'."), as: .timeout)
        case .outputLimit:
            return TRPCFault(
                ServiceError(
                    .limitExceeded, "The program printed more than it may and was stopped.",
                    hint: "Print less, or ask for larger 'limits.outputBytes'."), as: .payloadTooLarge)
        }
    }

    /// With an exit code in any case, for clients that have no word for a signal: 128 and its number, as shells have
    /// it. ``signal`` and ``reason`` still say what happened.
    var withExitCode: ExitReport {
        var report = self
        report.exitCode = exitCode ?? 128 + Int(signal.flatMap { Self.signals[$0] } ?? SIGKILL)
        return report
    }

    /// signal(7).
    private static let signals: [String: Int32] = [
        "SIGHUP": SIGHUP, "SIGINT": SIGINT, "SIGQUIT": SIGQUIT, "SIGILL": SIGILL, "SIGTRAP": SIGTRAP,
        "SIGABRT": SIGABRT, "SIGBUS": SIGBUS, "SIGFPE": SIGFPE, "SIGKILL": SIGKILL, "SIGUSR1": SIGUSR1,
        "SIGSEGV": SIGSEGV, "SIGUSR2": SIGUSR2, "SIGPIPE": SIGPIPE, "SIGALRM": SIGALRM, "SIGTERM": SIGTERM,
        "SIGXCPU": SIGXCPU, "SIGXFSZ": SIGXFSZ, "SIGSYS": SIGSYS,
    ]
}

extension ExecutionView {
    /// How it ended by what the history says; `nil` if it never ran or was lost.
    var report: ExitReport? {
        ExitReport.Reason(rawValue: state).map { reason in
            ExitReport(
                exitCode: exitCode, signal: signal, reason: reason, stage: .run, durationMs: durationMs ?? 0,
                cpuMs: cpuMs, maxRssBytes: maxRssBytes, truncated: truncated ?? false)
        }
    }
}
