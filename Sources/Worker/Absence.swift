import Fleet
import Foundation
import JobQueue
import Logging
import Synchronization

/// What becomes of jobs whose provider this worker does not have.
///
/// They are put back for another worker, at no cost. Workers tell in Redis that they live and what they have
/// (``Fleet/WorkerPresence``): a job is given up only once it has waited for ``limit`` and no living worker has its
/// provider. One that has it and is busy is waited for however long that takes.
final class Absence: Sendable {
    private let workers: WorkerPresence
    private let limit: Duration
    private let logger: Logger
    private let noted = Mutex<Set<String>>([])

    init(workers: WorkerPresence, limit: Duration, logger: Logger) {
        self.workers = workers
        self.limit = limit
        self.logger = logger
    }

    /// Throws ``DelayedJob`` as long as somebody may take the job, which has waited since `since`; returns for how long
    /// nobody has once nobody will.
    func waitElsewhere(forProvider provider: String, since: Date) async throws -> Duration {
        let waited = Duration.seconds(Date.now.timeIntervalSince(since))
        if waited >= limit, let living = try await workers.providers(), !living.contains(provider) { return waited }
        if noted.withLock({ $0.insert(provider).inserted }) {
            logger.notice("jobs are put back for want of their provider", metadata: ["provider": "\(provider)"])
        }
        throw DelayedJob(for: .seconds(1))
    }
}
