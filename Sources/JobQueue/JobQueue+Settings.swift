import Foundation
import Redis

/// At most so many jobs are taken in so long, over all workers of a queue.
package struct RateLimit: Hashable, Sendable {
    package var count: Int
    package var window: Duration

    package init(_ count: Int, per window: Duration) {
        self.count = count
        self.window = window
    }
}

// What holds for a queue whoever works on it (sheet, sections 1 and 6), and who does.
extension JobQueue {
    /// How many jobs may be active at once over all workers; nil: as many as they take.
    package func setConcurrency(_ most: Int?) async throws {
        guard let most else {
            try await redis.command("HDEL", "\(key("meta"))", "concurrency")
            return
        }
        guard most > 0 else { throw refused("A concurrency of \(most) lets nothing run.", hint: "Pause the queue.") }
        try await redis.command("HSET", "\(key("meta"))", "concurrency", RedisArgument(most))
    }

    /// A rate limit for all workers, before what they bring themselves; nil: none.
    package func setRateLimit(_ limit: RateLimit?) async throws {
        guard let limit else {
            try await redis.command("HDEL", "\(key("meta"))", "max", "duration")
            return
        }
        guard limit.count > 0, limit.window.milliseconds > 0 else {
            throw refused("A rate limit of \(limit.count) per \(limit.window) is none.", hint: "Pause the queue.")
        }
        try await redis.command(
            "HSET", "\(key("meta"))", "max", RedisArgument(limit.count), "duration",
            RedisArgument(limit.window.milliseconds))
    }

    /// Lets workers that have a rate limit take nothing for so long.
    package func holdOff(for duration: Duration) async throws {
        // The count other clients use, too: greater than any limit (sheet, section 6).
        try await redis.command(
            "SET", "\(key("limiter"))", "9007199254740991", "PX", RedisArgument(max(1, duration.milliseconds)))
    }

    /// About how many events the stream keeps.
    package func setEventLimit(_ most: Int) async throws {
        guard most >= 0 else { throw refused("An event limit of \(most).", hint: "Name how many events to keep.") }
        try await redis.command("HSET", "\(key("meta"))", "opts.maxLenEvents", RedisArgument(most))
        try await redis.command("XTRIM", "\(key("events"))", "MAXLEN", "~", RedisArgument(most))
    }

    private func refused(_ message: String, hint: String) -> JobQueueError {
        JobQueueError(.invalidSetting, "Queue '\(name)': \(message)", hint: hint)
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
}
