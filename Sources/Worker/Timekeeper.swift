import Fleet
import Foundation
import Logging

/// What the passing of time calls for: VMs that nobody uses are stopped, those whose time is over destroyed, those whose
/// owner has used up the month's hours stopped, hosts emptied. Each is a sweep by itself, and in each of them one
/// environment that fails keeps nobody from the others.
///
/// `now` is the database's own time, unless a test says otherwise.
struct Timekeeper: Sendable {
    let fleet: Fleet
    let actor: AuditActor
    let logger: Logger

    func stopIdle(now: Date? = nil) async throws {
        try await fleet.environments.idleCandidates(now: now).eachAlone { environment in
            // Compares once more: somebody may use it by now.
            guard try await fleet.environments.stopIdle(environment, by: actor, now: now) != nil else { return }
            await tell(environment, "Stopping the VM: nobody has used it for a while.")
        }
    }

    func destroyExpired(now: Date? = nil) async throws {
        try await fleet.environments.expired(now: now).eachAlone { environment in
            try await unlessMoved(environment) {
                try await fleet.environments.requestDestroy(environment.id, actor: actor)
                await tell(environment, "Destroying the VM: its time is over.")
            }
        }
    }

    func stopOutOfHours(now: Date? = nil) async throws {
        try await fleet.environments.outOfHours(now: now).eachAlone { environment in
            try await stop(environment, "Stopping the VM: the hours of this month are used up.")
        }
    }

    func emptyHosts() async throws {
        try await fleet.environments.onDrainingHosts().eachAlone { environment in
            try await stop(environment, "Stopping the VM: its host is being emptied.")
        }
    }

    /// A host that is drained, and on which nothing runs any more, is in maintenance from then on.
    func settleHosts() async throws { try await fleet.hosts.settleDrained(by: actor) }

    private func stop(_ environment: Environment, _ message: String) async throws {
        try await unlessMoved(environment) {
            try await fleet.environments.requestStop(environment.id, actor: actor)
            await tell(environment, message)
        }
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
