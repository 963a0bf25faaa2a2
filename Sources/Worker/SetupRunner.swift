import Execution
import Fleet
import Foundation
import Logging
import ServiceLifecycle
import Synchronization

/// Carries out the setups of environments that were started: clones their repositories, runs their init scripts.
///
/// A setup may take ten minutes, so it has no place in a job: it would hold up the queue. Those that are due are rows of
/// the database, and a worker claims them (``Fleet/EnvironmentStore/claimSetups(providers:limit:for:)``), at most
/// ``concurrency`` at once. One that is cut off, with its worker or by the end of the claim, is due again, so one worker
/// at a time is at it until one has carried it out. A failed setup does not fail the VM.
///
/// Graceful shutdown: no setup is claimed any more, those under way end, ``run()`` returns. Cancellation: what is under
/// way is killed in its VM and given back.
final class SetupRunner: Sendable {
    typealias Initialize = @Sendable (Environment) async throws -> InitializationOutcome

    static let concurrency = 8

    private let fleet: Fleet
    private let providers: [String]
    private let worker: String
    private let interval: Duration
    private let claimDuration: Duration
    private let initialize: Initialize
    private let logger: Logger
    private let running = Mutex(0)
    private let looks: AsyncStream<Void>
    private let look: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - interval: between two looks at what is due.
    ///   - claimDuration: how long after its worker's last sign of life a setup is due again.
    init(
        fleet: Fleet, providers: [String], worker: String, interval: Duration = .seconds(2),
        claimDuration: Duration = .seconds(30), logger: Logger, initialize: @escaping Initialize
    ) {
        self.fleet = fleet
        self.providers = providers
        self.worker = worker
        self.interval = interval
        self.claimDuration = claimDuration
        self.initialize = initialize
        self.logger = logger
        (looks, look) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Has it look for what is due right away. Returns at once.
    func wake() { look.yield() }

    /// Carries out what is due until told to stop. To be called once.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                await cancelWhenGracefulShutdown {
                    while (try? await Task.sleep(for: self.interval)) != nil { self.wake() }
                }
                self.look.finish()
            }
            wake()
            for await _ in looks {
                for claim in await claims() {
                    running.withLock { $0 += 1 }
                    group.addTask {
                        await self.hold(claim)
                        self.running.withLock { $0 -= 1 }
                        self.wake()  // another may be in line
                    }
                }
            }
        }
    }

    private func claims() async -> [SetupClaim] {
        let free = Self.concurrency - running.withLock { $0 }
        guard free > 0 else { return [] }
        do {
            return try await fleet.environments.claimSetups(providers: providers, limit: free, for: claimDuration)
        } catch {
            if !Task.isCancelled { logger.warning("setups not looked for", metadata: ["error": "\(error)"]) }
            return []
        }
    }

    /// Carries a setup out for as long as the claim to it is kept.
    private func hold(_ claim: SetupClaim) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.carryOut(claim) }
            group.addTask { await self.keep(claim) }
            await group.next()
            group.cancelAll()
        }
    }

    /// Renews a claim until it is lost, or may be because nothing was heard of it for as long as it holds.
    private func keep(_ claim: SetupClaim) async {
        var until = ContinuousClock.now + claimDuration
        while (try? await Task.sleep(for: claimDuration / 4)) != nil {
            let asked = ContinuousClock.now
            do {
                guard try await fleet.environments.renew(claim, for: claimDuration) else { return }
                until = asked + claimDuration
            } catch {
                if Task.isCancelled { return }
                logger.warning(
                    "claim of a setup not renewed",
                    metadata: ["environment": "\(claim.environment.id)", "error": "\(error)"])
                if ContinuousClock.now + claimDuration / 4 >= until { return }
            }
        }
    }

    private func carryOut(_ claim: SetupClaim) async {
        let environment = claim.environment
        await say(environment, .info, "Setting the VM up.")
        do {
            let outcome = try await initialize(environment)
            try Task.checkCancellation()
            await tell(outcome, environment)
            // Last: what is told twice is better than what is done and told nobody.
            try await fleet.environments.complete(
                claim, by: .worker(worker), errorCode: outcome.isSuccess ? nil : "setup_failed",
                message: "\(Self.failure(outcome)); it is tried again after the next start. Its log says more.",
                duration: .milliseconds(outcome.durationMs),
                detail: [
                    "step": outcome.step?.rawValue ?? "none", "reason": outcome.reason.rawValue,
                    "exitCode": outcome.exitCode.map { "\($0)" } ?? "",
                ])
        } catch {
            // To its end although this worker may be going down: the next one need not wait for the claim to run out.
            let isCut = Task.isCancelled || error is CancellationError
            await Task { await self.giveBack(claim, after: isCut ? nil : error) }.value
        }
    }

    private func tell(_ outcome: InitializationOutcome, _ environment: Environment) async {
        if outcome.isSuccess {
            await say(environment, .success, "The VM is set up (\(outcome.durationMs) ms).")
        } else {
            await say(
                environment, .error, "\(Self.failure(outcome)); the VM runs all the same. \(outcome.output)")
        }
    }

    private static func failure(_ outcome: InitializationOutcome) -> String {
        let step = outcome.step.map { $0 == .clone ? "Cloning the repository" : "The init script" } ?? "The setup"
        let end = outcome.exitCode.map { "exit code \($0)" } ?? outcome.signal ?? outcome.reason.rawValue
        return "\(step) failed (\(end))"
    }

    /// - Parameter failure: why it could not be carried out; `nil` if it was cut off.
    private func giveBack(_ claim: SetupClaim, after failure: (any Error)?) async {
        let environment = claim.environment
        do {
            guard let failure else { return try await fleet.environments.release(claim) }
            let reason = (failure as? ServiceError)?.message ?? "It failed inside Martlet."
            await say(environment, .error, "The VM was not set up: \(reason) It is tried again.")
            logger.warning(
                "setup not carried out", metadata: ["environment": "\(environment.id)", "error": "\(failure)"])
            try await fleet.environments.postpone(claim)
        } catch {
            // Then it is due when the claim has run out.
            logger.warning(
                "setup not given back", metadata: ["environment": "\(environment.id)", "error": "\(error)"])
        }
    }

    private func say(_ environment: Environment, _ level: ProvisionLogEntry.Level, _ message: String) async {
        await fleet.provisionLog.append(environment.userID, of: environment.id, level, message)
    }
}
