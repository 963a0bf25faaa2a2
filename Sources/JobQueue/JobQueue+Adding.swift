import Foundation
import Redis

/// A job that is to be added.
package struct NewJob: Sendable {
    package var name: String
    package var data: String  // JSON text
    package var options: JobOptions

    package init(_ name: String, data: String, options: JobOptions = JobOptions()) {
        self.name = name
        self.data = data
        self.options = options
    }
}

extension JobQueue {
    /// Adds a job and returns its id. `data` is JSON text. With a `jobID` that exists, in whatever state, nothing is
    /// stored and that id returned; a deduplicated job is answered with the id of the one it repeats. Throws
    /// `.invalidJob`, and `.unsupportedQueue` if the queue has schedulers or flows.
    @discardableResult
    package func add(_ name: String, data: String, options: JobOptions = JobOptions()) async throws -> String {
        try await add([NewJob(name, data: data, options: options)])[0]
    }

    /// Adds jobs in order and returns their ids, as ``add(_:data:options:)`` does for one. Each batch of 200 is added
    /// whole or not at all; when one fails, those before it stand. A job that is not valid keeps all of them out.
    @discardableResult
    package func add(_ jobs: [NewJob]) async throws -> [String] {
        let time = now()
        let words = try jobs.map { try self.words(for: $0, now: time) }
        var ids: [String] = []
        for start in stride(from: 0, to: words.count, by: 200) {
            let batch = words[start..<min(start + 200, words.count)]
            let reply = try await redis.eval(Lua.add, keys: [key("")], arguments: batch.flatMap { $0 })
            if let refusal = reply.number { throw JobQueueError(status: refusal, queue: name) }
            let added = (reply.elements ?? []).compactMap { $0.text }
            guard added.count == batch.count else { throw malformed(reply, of: Lua.add) }
            ids += added
        }
        return ids
    }

    /// As ``Lua/add`` takes them.
    private func words(for job: NewJob, now: Int) throws -> [RedisArgument] {
        let options = job.options
        try options.validate()
        guard isJSON(job.data) else {
            throw JobQueueError(.invalidJob, "Data of job '\(job.name)' is not JSON.", hint: "Encode it as JSON text.")
        }
        let once = options.deduplication
        return [
            RedisArgument(options.jobID ?? ""), RedisArgument(job.name), RedisArgument(job.data),
            RedisArgument(options.stored()), RedisArgument(options.timestamp?.milliseconds ?? now),
            RedisArgument(options.delay.milliseconds), RedisArgument(options.priority), options.lifo ? "1" : "0",
            RedisArgument(once?.id ?? ""), RedisArgument(once?.expiry?.milliseconds ?? 0),
            RedisArgument(once?.flags ?? ""),
        ]
    }
}
