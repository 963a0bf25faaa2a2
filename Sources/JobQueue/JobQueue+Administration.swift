import Foundation
import Redis

extension JobQueue {
    /// Lets no worker take a job until ``resume()``; running ones end. Jobs can be added.
    package func pause() async throws { _ = try await run(Lua.pause) }

    package func resume() async throws { _ = try await run(Lua.resume) }

    package func isPaused() async throws -> Bool {
        try await redis.command("HEXISTS", "\(key("meta"))", "paused") == 1
    }

    /// Puts a finished job back into the queue. Its attempts go on counting, so that one more failure is final,
    /// unless they are forgotten. Throws `.jobMissing`, and `.wrongState` if it has not finished.
    package func retry(_ id: String, forgettingAttempts: Bool = false) async throws {
        try await perform(Lua.retryFinished, on: id, forgettingAttempts ? "1" : "0")
    }

    /// Puts back all jobs that have failed (or completed) until now, the oldest first, and returns how many.
    @discardableResult
    package func retryAll(_ state: JobState = .failed, forgettingAttempts: Bool = false) async throws -> Int {
        guard state == .failed || state == .completed else {
            throw JobQueueError(
                .wrongState, "Jobs that are \(state.rawValue) cannot be retried.", hint: "Name 'failed' or 'completed'."
            )
        }
        let latest = RedisArgument(now())
        return try await inBatches(Lua.retryMany) {
            [RedisArgument(state.rawValue), latest, RedisArgument(Lua.batch), forgettingAttempts ? "1" : "0"]
        }
    }

    /// Lets a delayed job run as soon as it can. Throws `.jobMissing`, and `.wrongState` if it is not delayed.
    package func promote(_ id: String) async throws { try await perform(Lua.promote, on: id) }

    /// Promotes all jobs that are delayed now, the next to run first, and returns how many.
    @discardableResult
    package func promoteAll() async throws -> Int {
        // Promoted ones may be delayed again at once: as many as there are, and not until there is none.
        var left = try await redis.command("ZCARD", "\(key("delayed"))").number ?? 0
        return try await inBatches(Lua.promoteMany) {
            defer { left -= Lua.batch }
            return left > 0 ? [RedisArgument(min(left, Lua.batch))] : nil
        }
    }

    /// Removes a job with all it has, in whatever state; that there is none is no error. Throws `.jobLocked` while a
    /// worker has it, and `.unsupportedQueue` if it belongs to a scheduler or a flow.
    package func remove(_ id: String) async throws {
        let reply = try await run(Lua.remove, RedisArgument(id))
        switch reply.number {
        case 1: return
        case 0:
            throw JobQueueError(
                .jobLocked, "Job '\(id)' of queue '\(name)' is being worked on.", hint: "Wait until it has ended.")
        case let status?: throw JobQueueError(status: status == -8 ? -100 : status, queue: name)
        case nil: throw malformed(reply, of: Lua.remove)
        }
    }

    /// Removes all jobs that wait to be run, delayed ones on request, and returns how many.
    @discardableResult
    package func drain(includingDelayed: Bool = false) async throws -> Int {
        var removed = 0
        while true {
            let count = try await status(of: Lua.drain, includingDelayed ? "1" : "0", RedisArgument(Lua.batch))
            if count == 0 { return removed }
            removed += count
        }
    }

    /// Removes jobs of a state that ended (or, not having ended, were last taken or made) `age` ago or earlier, the
    /// oldest first, and returns their ids. Jobs that a worker holds stay. Throws `.wrongState` for states it cannot.
    @discardableResult
    package func clean(_ state: JobState, olderThan age: Duration, limit: Int = 1_000) async throws -> [String] {
        guard let column = state.column, state != .waitingChildren else {
            throw JobQueueError(
                .wrongState, "Jobs that are \(state.rawValue) cannot be cleaned.", hint: "Name another state.")
        }
        let before = RedisArgument(now() - age.milliseconds)
        var (removed, passed): ([String], Int) = ([], 0)
        while removed.count < limit {
            let reply = try await run(
                Lua.clean, RedisArgument(column.suffix), before, RedisArgument(passed), RedisArgument(Lua.batch),
                RedisArgument(limit - removed.count))
            if let refusal = reply.number { throw JobQueueError(status: refusal, queue: name) }
            guard let parts = reply.elements, parts.count == 3, let left = parts[0].number, let seen = parts[1].number
            else { throw malformed(reply, of: Lua.clean) }
            removed += (parts[2].elements ?? []).compactMap { $0.text }
            passed += left
            if seen < Lua.batch { break }
        }
        return removed
    }

    /// Removes the queue with all its jobs for good. It is paused first, and stays so if this is refused: with
    /// `.jobLocked` while jobs are active, unless forced; their workers' word is then not heard.
    package func obliterate(force: Bool = false) async throws {
        try await requireSupported()
        try await pause()
        while true {
            switch try await run(Lua.obliterate, force ? "1" : "0", RedisArgument(Lua.batch)).number {
            case 0: return
            case 1: continue
            case -1:
                throw JobQueueError(
                    .wrongState, "Queue '\(name)' was resumed while it was removed.", hint: "Remove it again.")
            case -2:
                throw JobQueueError(
                    .jobLocked, "Queue '\(name)' has active jobs, so it was paused and not removed.",
                    hint: "Wait until they have ended, or force it.")
            case let status: throw JobQueueError(status: status ?? 0, queue: name)
            }
        }
    }

    /// Runs a script that answers `{moved, looked at}` until it finds less than a batch, or no arguments are given.
    private func inBatches(_ script: RedisScript, _ arguments: () -> [RedisArgument]?) async throws -> Int {
        var moved = 0
        while let words = arguments() {
            let reply = try await redis.eval(script, keys: [key("")], arguments: words)
            guard let parts = reply.elements, parts.count == 2, let count = parts[0].number, let seen = parts[1].number
            else { throw malformed(reply, of: script) }
            moved += count
            if seen < Lua.batch { break }
        }
        return moved
    }

    private func status(of script: RedisScript, _ arguments: RedisArgument...) async throws -> Int {
        let reply = try await redis.eval(script, keys: [key("")], arguments: arguments)
        guard let status = reply.number else { throw malformed(reply, of: script) }
        if status < 0 { throw JobQueueError(status: status, queue: name) }
        return status
    }
}
