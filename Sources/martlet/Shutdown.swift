import Foundation
import ServiceLifecycle
import Synchronization
import UnixSignals

/// How a server command ends: the first SIGINT or SIGTERM asks its services to end, the second ends the process at once
/// (its servers then get their signal from the kernel).
final class Shutdown: Sendable {
    private enum State {
        case starting
        case serving(ServiceGroup)
        case requested
    }
    private let state = Mutex(State.starting)

    /// Lends one to `body`. A signal before services run cancels `body`. `onSignal` is called with each signal.
    static func withShutdown(
        onSignal: @escaping @Sendable (_ isFirst: Bool) -> Void,
        _ body: @escaping @Sendable (Shutdown) async throws -> Void
    ) async throws {
        let shutdown = Shutdown()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await body(shutdown)
                return true
            }
            group.addTask {
                var isFirst = true
                for await signal in signals {
                    onSignal(isFirst)
                    guard isFirst else { _exit(128 + signal.rawValue) }
                    isFirst = false
                    guard await shutdown.request() else { return false }  // nothing serves yet
                }
                return true
            }
            defer { group.cancelAll() }
            let isOver = try await group.next() ?? true
            if !isOver {
                // Stop what was being started, while still watching for the second signal.
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }

    /// Runs the services until they end: by themselves, or because a signal came.
    func serve(_ services: ServiceGroup) async throws {
        let isRequested = state.withLock { state in
            if case .requested = state { return true }
            state = .serving(services)
            return false
        }
        if isRequested { throw CancellationError() }
        try await services.run()
    }

    /// Returns false if there is nothing to end gracefully yet.
    private func request() async -> Bool {
        let services: ServiceGroup? = state.withLock { state in
            defer { state = .requested }
            if case .serving(let services) = state { return services }
            return nil
        }
        await services?.triggerGracefulShutdown()
        return services != nil
    }
}

/// A service that heeds the graceful shutdown by itself.
struct Work: Service {
    let work: @Sendable () async throws -> Void

    init(_ work: @escaping @Sendable () async throws -> Void) { self.work = work }

    func run() async throws { try await work() }
}

/// A service that works until the others after it have ended and is cancelled then: for what has nothing to finish.
struct Background: Service {
    let work: @Sendable () async throws -> Void

    init(_ work: @escaping @Sendable () async throws -> Void) { self.work = work }

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown(work)
        } catch is CancellationError {
            return
        }
    }
}

/// A service that does nothing until it is its turn to shut down.
struct AtShutdown: Service {
    let work: @Sendable () async -> Void

    init(_ work: @escaping @Sendable () async -> Void) { self.work = work }

    func run() async throws {
        do { try await gracefulShutdown() } catch is CancellationError { return }
        await work()
    }
}
