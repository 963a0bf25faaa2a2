import Redis

/// Something that happened in a queue, whoever did it (sheet, section 3).
package struct QueueEvent: Sendable, Identifiable {
    /// Events of other clients pass under the names they give them.
    package struct Name: RawRepresentable, Hashable, Sendable {
        package let rawValue: String
        package init(rawValue: String) { self.rawValue = rawValue }

        package static let added = Name(rawValue: "added")
        package static let waiting = Name(rawValue: "waiting")
        package static let delayed = Name(rawValue: "delayed")
        package static let active = Name(rawValue: "active")
        package static let progress = Name(rawValue: "progress")
        package static let completed = Name(rawValue: "completed")
        package static let failed = Name(rawValue: "failed")
        package static let retriesExhausted = Name(rawValue: "retries-exhausted")
        package static let stalled = Name(rawValue: "stalled")
        package static let drained = Name(rawValue: "drained")
        package static let duplicated = Name(rawValue: "duplicated")
        package static let deduplicated = Name(rawValue: "deduplicated")
        package static let removed = Name(rawValue: "removed")
        package static let cleaned = Name(rawValue: "cleaned")
        package static let paused = Name(rawValue: "paused")
        package static let resumed = Name(rawValue: "resumed")
    }

    package let id: String  // its place in the stream
    package let name: Name
    package let jobID: String?
    package let fields: [String: String]  // all of them, as stored

    /// From an entry of `XREAD`; nil if it is no event.
    fileprivate init?(_ entry: RedisValue) {
        guard let parts = entry.elements, parts.count == 2, let id = parts[0].text else { return nil }
        fields = parts[1].fields
        guard let name = fields["event"] else { return nil }
        self.id = id
        self.name = Name(rawValue: name)
        jobID = fields["jobId"]
    }
}

/// The events of a queue, oldest first, read as they are asked for: a reader that is slow misses those that the stream
/// has dropped meanwhile (it keeps about 10 000), and costs no memory. Outages of the server are waited out. Single-pass;
/// ends by cancellation only.
package struct QueueEvents: AsyncSequence, Sendable {
    package typealias Element = QueueEvent

    fileprivate let connection: RedisConnection
    fileprivate let key: String
    fileprivate let start: String

    package func makeAsyncIterator() -> Iterator { Iterator(events: self, last: start) }

    package struct Iterator: AsyncIteratorProtocol {
        private static let most = 100  // events read at once
        private static let pause = Duration.seconds(5)  // of one blocking read

        fileprivate let events: QueueEvents
        fileprivate var last: String
        private var read: ArraySlice<QueueEvent> = []

        fileprivate init(events: QueueEvents, last: String) {
            self.events = events
            self.last = last
        }

        /// The next event. Throws `CancellationError`, and `RedisError` where waiting is vain.
        package mutating func next() async throws -> QueueEvent? {
            while true {
                if let event = read.popFirst() { return event }
                do {
                    try await readMore()
                } catch let error as RedisError where error.code != .closed && error.code != .server {
                    try await ContinuousClock().sleep(for: .milliseconds(500))
                }
            }
        }

        private mutating func readMore() async throws {
            let words: [RedisArgument] = [
                "XREAD", "COUNT", RedisArgument(Self.most), "BLOCK", RedisArgument(Self.pause.milliseconds), "STREAMS",
                RedisArgument(events.key), RedisArgument(last),
            ]
            let reply = try await events.connection.command(words, replyLimit: Self.pause + RedisConnection.replyLimit)
            let entries = reply.elements?.first?.elements?.last?.elements ?? []
            if let id = entries.last?.elements?.first?.text { last = id }
            read = entries.compactMap { QueueEvent($0) }[...]
        }
    }
}

extension JobQueue {
    /// Lends the queue's events over a connection of their own: those after `id`, or those from now on.
    @discardableResult
    package func withEvents<R>(after id: String? = nil, _ body: (QueueEvents) async throws -> R) async throws -> R {
        try await redis.withBlockingConnection(name: connectionName(suffix: ":qe")) { connection in
            // A place and not `$`: what happens between two reads must not be missed.
            let newest = try await redis.command("XREVRANGE", "\(key("events"))", "+", "-", "COUNT", 1)
            let start = id ?? newest.elements?.first?.elements?.first?.text ?? "0-0"
            return try await body(QueueEvents(connection: connection, key: key("events"), start: start))
        }
    }
}
