import Execution
import Fleet
import Foundation
import Logging
import Synchronization

/// Carries out the setups of environments that were started here: clones their repositories, runs their init scripts.
///
/// A setup may take ten minutes, so it has no place in a job: it would hold up the queue. What is handed over runs
/// beside the jobs, at most ``concurrency`` at once, the rest in line. A setup that is cut off by the end of the process
/// is not noted as done, and is carried out after the next start. A failed setup does not fail the VM.
final class SetupRunner: Sendable {
    typealias Initialize = @Sendable (Environment) async throws -> InitializationOutcome

    static let concurrency = 8
    /// Most that wait in line; those above it are carried out after their next start.
    static let capacity = 1_000

    private let fleet: Fleet
    private let worker: String
    private let initialize: Initialize
    private let logger: Logger
    private let due: AsyncStream<Environment>
    private let line: AsyncStream<Environment>.Continuation

    init(fleet: Fleet, worker: String, logger: Logger, initialize: @escaping Initialize) {
        self.fleet = fleet
        self.worker = worker
        self.initialize = initialize
        self.logger = logger
        (due, line) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
    }

    /// Hands over an environment that runs and whose setup is due. Returns at once.
    func enqueue(_ environment: Environment) {
        if case .dropped = line.yield(environment) {
            logger.warning("too many setups in line", metadata: ["environment": "\(environment.id)"])
        }
    }

    /// Carries out what is handed over until cancelled. To be called once.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            for await environment in due {
                if running >= Self.concurrency {
                    await group.next()
                    running -= 1
                }
                running += 1
                group.addTask { await self.carryOut(environment) }
            }
        }
    }

    private func carryOut(_ environment: Environment) async {
        await say(environment, .info, "Setting the VM up.")
        do {
            let outcome = try await initialize(environment)
            if Task.isCancelled { return }
            let step = outcome.step.map { $0 == .clone ? "Cloning the repository" : "The init script" } ?? "The setup"
            if outcome.isSuccess {
                await say(environment, .success, "The VM is set up (\(outcome.durationMs) ms).")
            } else {
                let end = outcome.exitCode.map { "exit code \($0)" } ?? outcome.signal ?? outcome.reason.rawValue
                await say(environment, .error, "\(step) failed (\(end)); the VM runs all the same. \(outcome.output)")
            }
            try await fleet.audit.record(
                "setup", actor: .worker(worker), environment: environment.id, user: environment.userID,
                errorCode: outcome.isSuccess ? nil : "setup_failed", duration: .milliseconds(outcome.durationMs),
                detail: [
                    "step": outcome.step?.rawValue ?? "none", "reason": outcome.reason.rawValue,
                    "exitCode": outcome.exitCode.map { "\($0)" } ?? "",
                ])
            // Last: what is told twice is better than what is done and told nobody.
            try await fleet.environments.setInitialized(environment.id, setupVersion: environment.setupVersion)
        } catch is CancellationError {
            // Not noted as done: it is carried out after the next start.
        } catch {
            let reason = (error as? ServiceError)?.message ?? "It failed inside Martlet."
            await say(environment, .error, "The VM was not set up: \(reason) It is tried again after the next start.")
            logger.warning(
                "setup not carried out", metadata: ["environment": "\(environment.id)", "error": "\(error)"])
        }
    }

    private func say(_ environment: Environment, _ level: ProvisionLogEntry.Level, _ message: String) async {
        await fleet.provisionLog.append(environment.userID, of: environment.id, level, message)
    }
}
