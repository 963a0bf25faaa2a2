package import Foundation
import Logging
import Redis

/// One line of a provision log, as `{"timestamp", "message", "level"}`.
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

/// What a provision log is kept of.
package protocol ProvisionLogSubject: Sendable {
    /// Of the list in Redis, and of the channel.
    var provisionLogKey: String { get }
}

extension UserID: ProvisionLogSubject {
    package var provisionLogKey: String { "provision-logs:\(self)" }
}

extension EnvironmentID: ProvisionLogSubject {
    package var provisionLogKey: String { "environment-logs:\(self)" }
}

/// What users see of their VMs being made and started: the Redis list `provision-logs:{userId}`, oldest first, the newest
/// 100, for an hour after the last; each is also published on a channel of that name.
///
/// An environment's lines are kept a second time, within the same bounds, in `environment-logs:{environmentId}`. The
/// user's list and the form of its lines are what programs of the first implementation read, so a line cannot say in it
/// what it is about; and among 100 lines of all a user has, those of a busy environment would push out a quiet one's.
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
        for _, key in ipairs(KEYS) do
            redis.call('RPUSH', key, ARGV[1])
            redis.call('LTRIM', key, -tonumber(ARGV[2]), -1)
            redis.call('EXPIRE', key, ARGV[3])
            redis.call('PUBLISH', key, ARGV[1])
        end
        return #KEYS
        """)

    /// Adds a line to the user's log, and to that of the environment it is about. Throws nothing: a log that cannot be
    /// written stops no work.
    package func append(
        _ user: UserID, of environment: EnvironmentID? = nil, _ level: ProvisionLogEntry.Level, _ message: String
    ) async {
        let entry = ProvisionLogEntry(message: String(message.prefix(Self.messageLimit)), level: level)
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            try await redis.eval(
                Self.appendScript, keys: [user.provisionLogKey] + [environment?.provisionLogKey].compactMap { $0 },
                arguments: [
                    RedisArgument(Array(try encoder.encode(entry))), RedisArgument(Self.limit),
                    RedisArgument(Self.lifetimeSeconds),
                ])
        } catch {
            logger.warning("provision log not written", metadata: ["user_id": "\(user)", "error": "\(error)"])
        }
    }

    /// The lines kept, oldest first.
    package func recent(_ subject: some ProvisionLogSubject) async throws -> [ProvisionLogEntry] {
        try await stored(subject.provisionLogKey).compactMap(Self.entry)
    }

    /// Calls `body` with the lines kept and then each new one as it is written, without a gap and without a repetition.
    package func withFollowing<Result>(
        _ subject: some ProvisionLogSubject, _ body: (ProvisionLogSequence) async throws -> Result
    ) async throws -> Result {
        try await ServiceError.translating("Provision log not followed") {
            let key = subject.provisionLogKey
            return try await redis.withSubscription(to: [key]) { subscription in
                try await body(ProvisionLogSequence(store: self, key: key, subscription: subscription))
            }
        }
    }

    /// How long the log is kept from now; `nil` if there is none.
    package func timeToLive(_ subject: some ProvisionLogSubject) async throws -> Duration? {
        try await ServiceError.translating("Provision log not read") {
            let milliseconds = try await redis.command("PTTL", RedisArgument(subject.provisionLogKey)).number ?? -2
            return milliseconds < 0 ? nil : .milliseconds(milliseconds)
        }
    }

    func stored(_ key: String) async throws -> [[UInt8]] {
        try await ServiceError.translating("Provision log not read") {
            let reply = try await redis.command("LRANGE", RedisArgument(key), 0, -1)
            return (reply.elements ?? []).compactMap(\.bytes)
        }
    }

    static func entry(_ line: [UInt8]) -> ProvisionLogEntry? {
        try? JSONDecoder().decode(ProvisionLogEntry.self, from: Data(line))
    }
}

/// A provision log from the oldest line kept, live. For one reader.
package struct ProvisionLogSequence: AsyncSequence, Sendable {
    let store: ProvisionLogStore
    let key: String
    let subscription: RedisSubscription

    /// The subscription stands before the list is read, so a line may come both ways. Lines keep their order, so those
    /// that come twice are the first to come live: they are skipped until one comes that was not in the list.
    package struct AsyncIterator: AsyncIteratorProtocol {
        let store: ProvisionLogStore
        let key: String
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
            let lines = try await store.stored(key)
            isBehind = false
            listed = Set(lines)
            let seen = last.flatMap { lines.lastIndex(of: $0) }
            waiting = lines[(seen.map { $0 + 1 } ?? 0)...]
        }
    }

    package func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(store: store, key: key, messages: subscription.makeAsyncIterator())
    }
}
