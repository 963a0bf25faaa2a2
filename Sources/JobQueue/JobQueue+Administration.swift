import Foundation
import Redis

extension JobQueue {
    /// Puts a finished job back into the queue. Its attempts go on counting, so that one more failure is final,
    /// unless they are forgotten. Throws `.jobMissing`, and `.wrongState` if it has not finished.
    package func retry(_ id: String, forgettingAttempts: Bool = false) async throws {
        try await perform(Lua.retryFinished, on: id, forgettingAttempts ? "1" : "0")
    }

    /// Removes a job with all it has; that there is none is no error. Throws `.jobLocked` while a worker has it.
    package func remove(_ id: String) async throws {
        switch try await run(Lua.remove, RedisArgument(id)).number {
        case 1: return
        case 0:
            throw JobQueueError(
                .jobLocked, "Job '\(id)' of queue '\(name)' is being worked on.", hint: "Wait until it has ended.")
        default: throw JobQueueError.hasSchedulers(queue: name)
        }
    }

    /// Lets no worker take a job until ``resume()``; running ones end. Jobs can be added.
    package func pause() async throws { _ = try await run(Lua.pause) }

    package func resume() async throws { _ = try await run(Lua.resume) }

    package func isPaused() async throws -> Bool {
        try await redis.command("HEXISTS", "\(key("meta"))", "paused") == 1
    }

    /// The names of the workers that are connected now, of any client: empty for one without a name of its own.
    package func workers() async throws -> [String] {
        let list = try await redis.command("CLIENT", "LIST").text ?? ""
        // Python's clients write the queue's name as it is (sheet, section 7).
        let owners = [connectionName(suffix: ""), "\(prefix):\(name)"]
        return list.split(separator: "\n").compactMap { line in
            guard let field = line.split(separator: " ").first(where: { $0.hasPrefix("name=") }) else { return nil }
            let client = field.dropFirst("name=".count)
            for owner in owners {
                if client == owner { return "" }
                if client.hasPrefix(owner + ":w:") { return String(client.dropFirst(owner.count + 3)) }
            }
            return nil
        }
    }

    /// What a worker's blocking connection is called (sheet, section 7). The server takes no blanks in a name.
    func connectionName(suffix: String) -> String {
        let queue = Data(name.utf8).base64EncodedString()
        let suffix = suffix.unicodeScalars.map { (33...126).contains($0.value) ? Character($0) : "-" }
        return "\(prefix):\(queue)" + String(suffix)
    }

    /// Adds a row to a job's log and returns how many there are. Throws `.jobMissing`.
    @discardableResult
    func addLog(_ row: String, to id: String, keeping newest: Int?) async throws -> Int {
        try await perform(Lua.addLog, on: id, RedisArgument(row), RedisArgument(newest.map(String.init) ?? ""))
    }

    func updateProgress(_ json: String, of id: String) async throws {
        guard isJSON(json) else {
            throw JobQueueError(.invalidJob, "Progress of job '\(id)' is not JSON.", hint: "Encode it as JSON text.")
        }
        try await perform(Lua.updateProgress, on: id, RedisArgument(json))
    }
}
