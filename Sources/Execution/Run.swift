import EventLoop
import Fleet
import Foundation
import Synchronization

/// One execution while it is under way: what its parts share.
final class Run: Sendable {
    let id = ExecutionID()
    let request: ExecutionRequest
    let runtime: RuntimeCatalog.Runtime
    let limits: ExecutionLimits
    let caller: Caller
    let requestID: String
    let environment: Environment  // as it was when the call came
    let began = ContinuousClock.now
    let calledAt = Date.now
    let timeline: RunTimeline
    let events: EventQueue
    let input = RunInput()
    let output = Mutex(OutputRecord())
    /// Resumed once the journal or the history has the run, or neither could be given it. `started` waits for it: from
    /// then on other gateways may be asked about the run. One caller.
    let recorded = Waiter<Void>()
    /// The same, for the end of the run: whether one of them has it. Not resumed if the runner was never asked.
    let begun = Waiter<Bool>()
    /// The end that the runner told, on its way to the journal, and whether that took it.
    let toldEnd = Mutex<(report: ExitReport, isKept: Task<Bool, Never>)?>(nil)
    private let state = Mutex(State())
    private let cancellation = Waiter<Void>()

    private struct State {
        var hasStarted = false
        var isCancelled = false
    }

    init(
        request: ExecutionRequest, runtime: RuntimeCatalog.Runtime, limits: ExecutionLimits, caller: Caller,
        requestID: String, environment: Environment, observer: ExecutionObserver = .none
    ) {
        let timeline = RunTimeline(observer)
        self.timeline = timeline
        events = EventQueue { timeline.see($0) }
        self.request = request
        self.runtime = runtime
        self.limits = limits
        self.caller = caller
        self.requestID = requestID
        self.environment = environment
    }

    /// Whether the runner has started the program: from then on it must not be run again.
    var hasStarted: Bool { state.withLock { $0.hasStarted } }

    /// Notes that the program has started; `false` if it had before.
    func start() -> Bool {
        state.withLock { state in
            defer { state.hasStarted = true }
            return !state.hasStarted
        }
    }

    var isCancelled: Bool { state.withLock { $0.isCancelled } }

    /// Asks for the run to be killed; returns at once. Idempotent.
    func cancel() {
        state.withLock { $0.isCancelled = true }
        cancellation.resume(with: .success(()))
    }

    /// Returns when somebody has called ``cancel()``. One caller.
    func cancelled() async throws { try await cancellation.value() }

    /// What is reported of a run that was cut off before the runner could say more.
    var cancelledReport: ExitReport {
        ExitReport(
            exitCode: nil, signal: nil, reason: .cancelled, stage: .run,
            durationMs: (ContinuousClock.now - began) / .milliseconds(1), cpuMs: nil, maxRssBytes: nil,
            truncated: false)
    }
}
