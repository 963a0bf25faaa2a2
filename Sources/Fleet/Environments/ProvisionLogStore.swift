package import Foundation
import Logging
import Redis

/// One line of a user's provision log, as `{"timestamp", "message", "level"}`.
package struct ProvisionLogEntry: Sendable, Hashable, Codable {
    package enum Level: String, Sendable, Codable, CaseIterable { case debug, info, success, error }

    package let timestamp: String  // ISO 8601, UTC, to the millisecond
    package let message: String
    package let level: Level

    package init(timestamp: Date = .now, message: String, level: Level) {
        self.timestamp = timestamp.formatted(Self.style)
        self.message = message
        self.level = level
    }

    private static let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
}

/// What users see of their VM being made and started: the Redis list `provision-logs:{userId}`, oldest first, the newest
/// 100, for an hour after the last; each is also published on a channel of that name.
package struct ProvisionLogStore: Sendable {
    let redis: RedisClient
    let logger: Logger

    static let limit = 100
    static let lifetimeSeconds = 3_600
    /// A line longer than this is cut.
    static let messageLimit = 2_000

    private static let appendScript = RedisScript(
        "append to a provision log",
        """
        redis.call('RPUSH', KEYS[1], ARGV[1])
        redis.call('LTRIM', KEYS[1], -tonumber(ARGV[2]), -1)
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        redis.call('PUBLISH', KEYS[1], ARGV[1])
        return 1
        """)

    /// Adds a line. Throws nothing: a log that cannot be written stops no work.
    package func append(_ user: UserID, _ level: ProvisionLogEntry.Level, _ message: String) async {
        let entry = ProvisionLogEntry(message: String(message.prefix(Self.messageLimit)), level: level)
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try await redis.eval(
                Self.appendScript, keys: [Self.key(user)],
                arguments: [
                    RedisArgument(Array(try encoder.encode(entry))), RedisArgument(Self.limit),
                    RedisArgument(Self.lifetimeSeconds),
                ])
        } catch {
            logger.warning("provision log not written", metadata: ["user_id": "\(user)", "error": "\(error)"])
        }
    }

    /// The lines kept, oldest first.
    package func recent(_ user: UserID) async throws -> [ProvisionLogEntry] {
        try await stored(user).compactMap(Self.entry)
    }

    /// Calls `body` with the lines kept and then each new one as it is written, without a gap and without a repetition.
    package func withFollowing<Result>(
        _ user: UserID, _ body: (ProvisionLogSequence) async throws -> Result
    ) async throws -> Result {
        try await ServiceError.translating("Provision log not followed") {
            try await redis.withSubscription(to: [Self.key(user)]) { subscription in
                try await body(ProvisionLogSequence(store: self, user: user, subscription: subscription))
            }
        }
    }

    /// How long the log is kept from now; `nil` if there is none.
    package func timeToLive(_ user: UserID) async throws -> Duration? {
        try await ServiceError.translating("Provision log not read") {
            let milliseconds = try await redis.command("PTTL", RedisArgument(Self.key(user))).number ?? -2
            return milliseconds < 0 ? nil : .milliseconds(milliseconds)
        }
    }

    func stored(_ user: UserID) async throws -> [[UInt8]] {
        try await ServiceError.translating("Provision log not read") {
            let reply = try await redis.command("LRANGE", RedisArgument(Self.key(user)), 0, -1)
            return (reply.elements ?? []).compactMap(\.bytes)
        }
    }

    static func key(_ user: UserID) -> String { "provision-logs:\(user)" }

    static func entry(_ line: [UInt8]) -> ProvisionLogEntry? {
        try? JSONDecoder().decode(ProvisionLogEntry.self, from: Data(line))
    }
}

/// A provision log from the oldest line kept, live. For one reader.
package struct ProvisionLogSequence: AsyncSequence, Sendable {
    let store: ProvisionLogStore
    let user: UserID
    let subscription: RedisSubscription

    /// The subscription stands before the list is read, so a line may come both ways. Lines keep their order, so those
    /// that come twice are the first to come live: they are skipped until one comes that was not in the list.
    package struct AsyncIterator: AsyncIteratorProtocol {
        let store: ProvisionLogStore
        let user: UserID
        var messages: RedisSubscription.AsyncIterator
        var isBehind = true  // the list has to be read
        var waiting: ArraySlice<[UInt8]> = []
        var listed: Set<[UInt8]> = []
        var last: [UInt8]?

        package mutating func next() async throws -> ProvisionLogEntry? {
            while true {
                if isBehind { try await catchUp() }
                if let line = waiting.popFirst() {
                    last = line
                    if let entry = ProvisionLogStore.entry(line) { return entry }
                    continue
                }
                switch try await messages.next() {
                case nil: return nil
                case .resubscribed: isBehind = true
                case .message(_, let line):
                    if listed.contains(line) { continue }
                    listed = []
                    waiting.append(line)
                }
            }
        }

        private mutating func catchUp() async throws {
            let lines = try await store.stored(user)
            isBehind = false
            listed = Set(lines)
            let seen = last.flatMap { lines.lastIndex(of: $0) }
            waiting = lines[(seen.map { $0 + 1 } ?? 0)...]
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(store: store, user: user, messages: subscription.makeAsyncIterator())
    }
}
