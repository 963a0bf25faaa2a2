import Fleet
import Synchronization

/// Told what becomes of executions, for whoever counts them. Called from the runs' own tasks: it returns at once.
package struct ExecutionObserver: Sendable {
    package enum Stage: String, CaseIterable, Sendable {
        case admitted  // until the run's first word
        case queued
        case starting
        case connecting
        case started  // from admission to the program's start: all of the above together
        case firstOutput = "first_output"  // from there to the first byte it prints
    }

    /// `isCold`: the VM did not run when the call came.
    package var stage: @Sendable (_ stage: Stage, _ duration: Duration, _ isCold: Bool) -> Void
    /// `outcome` is the reason of an exit, the code of an error, or `abandoned`.
    package var ended: @Sendable (_ language: String, _ outcome: String) -> Void

    package init(
        stage: @escaping @Sendable (Stage, Duration, Bool) -> Void,
        ended: @escaping @Sendable (_ language: String, _ outcome: String) -> Void
    ) {
        self.stage = stage
        self.ended = ended
    }

    package static let none = ExecutionObserver(stage: { _, _, _ in }, ended: { _, _ in })
}

/// Where one run is on its way to its first output, by the events it sends.
final class RunTimeline: Sendable {
    private struct State {
        var stage: ExecutionObserver.Stage? = .admitted  // nil: past the first output
        var since: ContinuousClock.Instant
        var isCold = false
    }

    private let began = ContinuousClock.now
    private let state: Mutex<State>
    private let observer: ExecutionObserver

    init(_ observer: ExecutionObserver) {
        self.observer = observer
        state = Mutex(State(since: began))
    }

    /// Takes an event into account as it is sent.
    func see(_ event: ExecutionEvent) {
        let next: ExecutionObserver.Stage?
        switch event {
        case .status(.queued, _): next = .queued
        case .status(.starting, _): next = .starting
        case .status(.connecting, _): next = .connecting
        case .started: next = .firstOutput
        case .output, .exit, .error: next = nil
        case .status(.running, _), .keepalive: return
        }
        let now = ContinuousClock.now
        let left: (stage: ExecutionObserver.Stage, duration: Duration, isCold: Bool)? = state.withLock { state in
            guard let stage = state.stage, stage != next else { return nil }
            if next == .queued || next == .starting { state.isCold = true }
            let duration = now - state.since
            state.stage = next
            state.since = now
            // A run that ended while it waited has spent its time, but not come through.
            return (stage, duration, state.isCold)
        }
        guard let left else { return }
        if case .exit = event, left.stage == .firstOutput { return }  // it printed nothing
        observer.stage(left.stage, left.duration, left.isCold)
        if next == .firstOutput { observer.stage(.started, now - began, left.isCold) }
    }

    func end(_ ending: RunEnding, language: String) {
        switch ending {
        case .exit(let report): observer.ended(language, report.reason.rawValue)
        case .error(let error): observer.ended(language, error.code.rawValue)
        case .abandoned: observer.ended(language, "abandoned")
        }
    }
}
