import Fleet
import Foundation
import Logging

/// What the passing of time calls for: VMs that nobody uses are stopped, those whose time is over destroyed, those whose
/// owner has used up the month's hours stopped, hosts emptied, old records removed.
struct Timekeeper: Sendable {
    let fleet: Fleet
    let actor: AuditActor
    let logger: Logger

    /// One round over all that is due.
    /// - Parameter now: the database's own time, unless a test says otherwise.
    func sweep(now: Date? = nil) async throws {
        for environment in try await fleet.environments.idleCandidates(now: now) {
            // Compares once more: somebody may use it by now.
            guard try await fleet.environments.stopIdle(environment, by: actor, now: now) != nil else { continue }
            await tell(environment, "Stopping the VM: nobody has used it for a while.")
        }
        for environment in try await fleet.environments.expired(now: now) {
            try await unlessMoved(environment) {
                try await fleet.environments.requestDestroy(environment.id, actor: actor)
                await tell(environment, "Destroying the VM: its time is over.")
            }
        }
        for user in try await fleet.quotas.outOfHours(now: now) {
            for environment in try await fleet.environments.list(owner: user, limit: 500)
            where environment.state == .running {
                try await unlessMoved(environment) {
                    try await fleet.environments.requestStop(environment.id, actor: actor)
                    await tell(environment, "Stopping the VM: the hours of this month are used up.")
                }
            }
        }
        try await emptyHosts()
    }

    private func emptyHosts() async throws {
        for environment in try await fleet.environments.onDrainingHosts() {
            try await unlessMoved(environment) {
                try await fleet.environments.requestStop(environment.id, actor: actor)
                await tell(environment, "Stopping the VM: its host is being emptied.")
            }
        }
        try await fleet.hosts.settleDrained(by: actor)
    }

    /// Removes executions that ended longer ago than `age`, and answers kept for repeated requests that are out of date.
    func prune(executionsOlderThan age: Duration) async throws {
        while try await fleet.executions.prune(olderThan: age, limit: 1_000) == 1_000 {}
        while try await fleet.idempotency.prune(limit: 1_000) == 1_000 {}
    }

    /// Somebody may have moved it between the look and the request; then the next round sees what is left to do.
    private func unlessMoved(_ environment: Environment, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error as ServiceError where error.code == .illegalTransition {
            logger.debug("environment moved meanwhile", metadata: ["environment": "\(environment.id)"])
        }
    }

    private func tell(_ environment: Environment, _ message: String) async {
        logger.info("\(message)", metadata: ["environment": "\(environment.id)"])
        await fleet.provisionLog.append(environment.userID, of: environment.id, .info, message)
    }
}
