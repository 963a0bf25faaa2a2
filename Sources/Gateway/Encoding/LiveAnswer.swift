import HTTPTypes
import NIOCore

/// Something that changes, as server-sent events: as it is, and again whenever it is another.
struct LiveAnswer: Sendable {
    let event: String
    /// What to tell, and by what to know whether it is news.
    let read: @Sendable () async throws -> (any Encodable & Sendable, key: [UInt8])

    init(event: String, read: @escaping @Sendable () async throws -> (any Encodable & Sendable, key: [UInt8])) {
        self.event = event
        self.read = read
    }

    /// - Parameter watch: calls its argument at once, whenever something may have changed, and now and then although
    ///   nothing has: what is read then and is no news shows that the connection stands.
    func answer(
        _ exchange: Exchange,
        watching watch: @escaping @Sendable (@escaping @Sendable () async throws -> Void) async throws -> Void
    ) async throws {
        try await exchange.whileClientListens {
            let stream = try await exchange.stream(headers: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store", .accelBuffering: "no",
            ])
            let last = LastKey()
            try await watch {
                let (value, key) = try await read()
                guard await last.replace(with: key) else { return try await stream.write(ByteBuffer(string: ":\n\n")) }
                var buffer = ByteBuffer(string: "event: \(event)\ndata: ")
                buffer.writeBytes(try JSONView.encode(value))
                buffer.writeStaticString("\n\n")
                try await stream.write(buffer)
            }
            try await stream.finish()
        }
    }

    private actor LastKey {
        private var key: [UInt8]?

        func replace(with key: [UInt8]) -> Bool {
            defer { self.key = key }
            return key != self.key
        }
    }
}

/// Signals that may be lost, made up for by the clock.
enum Wakes {
    /// Calls `body` at once, after signals, however many came meanwhile, and after as long a silence; one call after
    /// another, until cancelled. Signals that end are done without.
    static func each<Signals: AsyncSequence & Sendable>(
        _ signals: Signals, atLeastEvery silence: Duration, _ body: @Sendable () async throws -> Void
    ) async throws {
        let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { do { for try await _ in signals { wake.yield() } } catch {} }
            group.addTask {
                while true {
                    wake.yield()
                    try await Task.sleep(for: silence)
                }
            }
            defer { group.cancelAll() }
            for await _ in wakes { try await body() }
            try Task.checkCancellation()
        }
    }
}
