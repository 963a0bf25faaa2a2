import EventLoop
import Fleet
import Foundation
import JobQueue
import Synchronization

/// Gets an environment to `running`, telling on the way what is going on.
///
/// No wake-up is missed: the signals of the environment are subscribed to before its state is read, and after every
/// signal, lost subscription or ``pollInterval`` the state is read again; a signal only says when to look. No wait
/// is endless: past its limit the call fails and names the job that should have done the work.
struct Waker: Sendable {
    let fleet: Fleet
    let startTimeout: Duration
    let provisionTimeout: Duration
    let pollInterval = Duration.seconds(1)

    typealias Report = @Sendable (ExecutionEvent.Progress, String) async throws -> Void

    /// Returns the environment as it runs. Throws `vm_start_timeout`, `vm_failed`, `vm_destroyed`.
    func wake(
        _ environment: Environment, for caller: Caller, requestID: String, report: @escaping Report
    ) async throws -> Environment {
        if environment.state == .running { return environment }
        return try await waiting(for: environment) { wait in
            var current = try await read(environment.id)
            var ensured: String?
            while true {
                switch current.state {
                case .running: return current
                case .error: throw Self.failed(current)
                case .destroying, .destroyed: throw Self.destroyed(current)
                case .stopped:
                    try await report(.queued, "The VM is stopped; starting it.")
                    do {
                        current = try await fleet.environments.requestStart(
                            current.id, actor: AuditActor(caller), requestID: requestID)
                    } catch let error as ServiceError where error.code == .illegalTransition {
                        current = try await read(current.id)  // somebody moved it meanwhile
                    }
                case .requested, .provisioning, .starting, .stopping:
                    // Whoever moved it may have died before its job was on the queue.
                    if let job = current.pendingJob, ensured != job.id {
                        try await fleet.outbox.ensureJob(for: current)
                        ensured = job.id
                    }
                    let news = try await wait.next(current)
                    for message in news.messages { try await report(Self.progress(current.state), message) }
                    current = try await read(current.id)
                }
            }
        }
    }

    /// Has a worker look whether a VM that cannot be reached is still there, and returns the environment as it is
    /// then, unchanged if nothing was found wrong with it. Throws `vm_unreachable` if no worker says anything in time.
    func reconcile(
        _ environment: Environment, requestID: String, because error: any Error
    ) async throws -> Environment {
        try await waiting(for: environment) { wait in
            try await fleet.environments.requestReconcile(environment, requestID: requestID)
            while true {
                let current = try await read(environment.id)
                if current.generation != environment.generation { return current }
                do {
                    // The worker's word, also when it found nothing: the fault was on the way there, or is over.
                    if try await wait.next(current).hasSignal { return try await read(environment.id) }
                } catch let timeout as ServiceError where timeout.code == .vmStartTimeout {
                    throw ServiceError(
                        .vmUnreachable, "VM '\(environment.slug)' does not answer over SSH.",
                        hint: "Stop and start it: 'martlet vm stop', 'martlet vm start'; 'martlet doctor' says more.",
                        cause: error)
                }
            }
        }
    }

    /// One wait with its signals, its log lines and its limit.
    private struct Wait: Sendable {
        let news: NewsBox
        let deadline: ContinuousClock.Instant
        let began: ContinuousClock.Instant
        let pollInterval: Duration
        let fleet: Fleet

        /// Returns when the state should be read again, with what the provisioning has logged since.
        func next(_ environment: Environment) async throws -> NewsBox.News {
            guard ContinuousClock.now < deadline else { throw await timedOut(environment) }
            return try await news.next(within: pollInterval)
        }

        private func timedOut(_ environment: Environment) async -> ServiceError {
            let waited = Int((ContinuousClock.now - began) / .seconds(1))
            guard let job = environment.pendingJob else {
                return ServiceError(
                    .vmStartTimeout, "VM '\(environment.slug)' was still '\(environment.state)' after \(waited) s.",
                    hint: "Try again; 'martlet doctor' says what is wrong.")
            }
            let queue = job.action == .provision ? fleet.provisionQueue : fleet.controlQueue
            let state = (try? await queue.state(of: job.id))?.rawValue ?? "not to be asked for: Redis does not answer"
            return ServiceError(
                .vmStartTimeout,
                "VM '\(environment.slug)' was still '\(environment.state)' after \(waited) s: job '\(job.id)' is \(state).",
                hint: "Is a worker running? 'martlet doctor' says; the job is kept, so the next call may find it done.")
        }
    }

    private func waiting<Result: Sendable>(
        for environment: Environment,
        _ body: @escaping @Sendable (Wait) async throws -> Result
    ) async throws -> Result {
        let isProvisioning = environment.state == .requested || environment.state == .provisioning
        let limit = isProvisioning ? provisionTimeout : startTimeout
        let began = ContinuousClock.now
        let news = NewsBox()
        let wait = Wait(
            news: news, deadline: began + limit, began: began, pollInterval: min(pollInterval, limit), fleet: fleet)
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            let subscribed = Waiter<Void>()
            group.addTask {
                do {
                    try await fleet.signals.withSubscription(to: environment.id) { signals in
                        subscribed.resume(with: .success(()))
                        for try await _ in signals { news.addSignal() }
                    }
                } catch {
                    subscribed.resume(with: .failure(error))
                    throw error
                }
                return nil
            }
            group.addTask {
                let since = ProvisionLogEntry(message: "", level: .info).timestamp  // now, and compares as text
                try await fleet.provisionLog.withFollowing(environment.id) { entries in
                    for try await entry in entries where entry.timestamp >= since { news.add(entry.message) }
                }
                return nil
            }
            group.addTask {
                try await subscribed.value()
                return try await body(wait)
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private func read(_ id: EnvironmentID) async throws -> Environment {
        guard let environment = try await fleet.environments.find(id) else {
            throw ServiceError(
                .vmDestroyed, "The VM was destroyed meanwhile.", hint: EnvironmentState.destroyed.advice)
        }
        return environment
    }

    private static func progress(_ state: EnvironmentState) -> ExecutionEvent.Progress {
        switch state {
        case .requested: .queued
        default: .starting
        }
    }

    static func failed(_ environment: Environment) -> ServiceError {
        ServiceError(
            .vmFailed, "VM '\(environment.slug)' is in error: \(environment.errorMessage ?? "no reason is known").",
            hint: EnvironmentState.error.advice)
    }

    static func destroyed(_ environment: Environment) -> ServiceError {
        ServiceError(
            .vmDestroyed, "VM '\(environment.slug)' is \(environment.state.rawValue).",
            hint: EnvironmentState.destroyed.advice)
    }
}

/// What arrived since it was last asked for, of log lines at most ``limit``; asking waits for the next arrival.
private final class NewsBox: Sendable {
    struct News {
        var messages: [String] = []
        var hasSignal = false
    }
    private struct State {
        var news = News()
        var reader: Waiter<Void>?
    }
    private static let limit = 64
    private let state = Mutex(State())

    func add(_ message: String) {
        change { if $0.messages.count < Self.limit { $0.messages.append(message) } }
    }

    func addSignal() {
        change { $0.hasSignal = true }
    }

    private func change(_ body: (inout News) -> Void) {
        state.withLock { state in
            body(&state.news)
            state.reader?.resume(with: .success(()))
            state.reader = nil
        }
    }

    /// Returns with nothing when nothing arrived in time.
    func next(within limit: Duration) async throws -> News {
        let waiter: Waiter<Void>? = state.withLock { state in
            guard state.news.messages.isEmpty, !state.news.hasSignal else { return nil }
            let waiter = Waiter<Void>()
            state.reader = waiter
            return waiter
        }
        if let waiter {
            do {
                try await withDeadline(limit, "news") { try await waiter.value() }
            } catch is DeadlineExceeded {}  // time to look without being told
        }
        return state.withLock { state in
            defer { state.news = News() }
            return state.news
        }
    }
}
