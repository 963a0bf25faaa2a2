import Foundation
import Logging
import Redis

extension QueueWorker {
    /// Runs a job, then those that come with the word on the one before. Cancelled, it gives back what it has.
    func runLane(startingWith first: Job, token: String) async {
        let lane = Lane()
        await lane.run { [self] in
            var next: Job? = first
            while let job = next { next = await process(job, token: token, in: lane) }
        }
    }

    /// Runs one job to its end and tells the queue; returns the next one if there is one.
    private func process(_ job: Job, token: String, in lane: Lane) async -> Job? {
        let lease = Lease(job: job.id, token: token, lane: lane)
        leases.insert(lease)
        defer { leases.remove(lease) }
        var logger = logger
        logger[metadataKey: "job"] = "\(job.id)"
        let outcome = await outcome(of: job, lease: lease, lane: lane, logger: logger)
        guard !lease.isLost else {
            logger.warning("job lost to another worker: its lock was not renewed in time")
            return nil
        }
        if case .failed(let reason) = outcome { logger.info("job failed", metadata: ["reason": "\(reason)"]) }
        // Once its handler was cancelled, whatever this task waits for ends at once.
        guard Task.isCancelled else { return await report(outcome, of: job, lease: lease, logger: logger) }
        return try? await shielded { [self, logger] in
            await report(outcome, of: job, lease: lease, logger: logger)
        }
    }

    private func outcome(of job: Job, lease: Lease, lane: Lane, logger: Logger) async -> AttemptOutcome {
        if let reason = job.deferredFailure { return .failed(reason: reason) }
        if job.isFlowChild {
            // Finishing it without telling its parent would leave that waiting for ever (sheet, 4.4 #9).
            logger.warning("job of a flow left to a worker that knows flows")
            return .postponed(milliseconds: 5_000)
        }
        let context = JobContext(job: job, token: lease.token, queue: queue, logger: logger)
        do {
            let ran: String?? = try await lane.handling { try await handler(job, context) }
            guard let value = ran else { return .putBack }
            let json = value ?? "null"
            // Not JSON would stop other clients' listeners for good (sheet, section 7).
            guard value == nil || isJSON(json) else {
                let error = UnrecoverableJobError(reason: "The handler's return value is not JSON.")
                return AttemptOutcome(of: job, failingWith: error, chance: 0, now: queue.now())
            }
            return .completed(returnValue: json)
        } catch {
            if lane.isCancelled { return .putBack }
            return AttemptOutcome(of: job, failingWith: error, chance: .random(in: 0...1), now: queue.now())
        }
    }

    /// Tells the queue how the job ended, again and again until that is certain or the lock must have run out.
    private func report(_ outcome: AttemptOutcome, of job: Job, lease: Lease, logger: Logger) async -> Job? {
        var isRepeated = false
        while true {
            do {
                return try await send(outcome, of: job, token: lease.token)
            } catch let error as JobQueueError {
                // After a lost reply these mean that the first try had been carried out.
                let isDone = isRepeated && [.lockLost, .jobMissing].contains(error.code)
                if !isDone { logger.warning("end of job not accepted", metadata: ["reason": "\(error)"]) }
                return nil
            } catch let error as RedisError where error.code != .server && error.code != .closed {
                guard !lease.isLost, !lease.isOlder(than: lockDuration) else {
                    logger.error("end of job not told", metadata: ["reason": "\(error)"])
                    return nil
                }
                isRepeated = true
            } catch {
                logger.error("end of job not told", metadata: ["reason": "\(error)"])
                return nil
            }
        }
    }
}
