package import EventLoop
package import Logging

/// Commands over one connection to a server, pipelined: any number of tasks send without waiting for each other,
/// and replies come in the order sent. Theory of operation:
///
/// A command first waits until the connection stands and has room (at most ``patience``); nothing of it has been sent
/// by then, so it may wait through a reconnection. From the moment it is written its fate is the connection's: if
/// that is lost, or the reply does not come in time, the command fails with `.connectionLost` or `.timeout` and may
/// or may not have been carried out; it is never sent twice. Cancelling a task ends its wait, its reply is dropped.
///
/// It connects when first needed and again whenever needed, with backoff. Bounds: ``unsentLimit`` bytes not yet taken
/// by the kernel and ``requestLimit`` unanswered requests (one request more may pass), reply time, reply length.
package actor RedisConnection {
    private struct Request {
        let waiter: Waiter<[RedisValue]>
        let deadline: ContinuousClock.Instant
        var missing: Int
        var replies: [RedisValue] = []
    }

    package static let patience = Duration.seconds(5)
    package static let replyLimit = Duration.seconds(10)
    private static let unsentLimit = 16 << 20
    private static let requestLimit = 16_384

    private let link: Link
    private let loop: EventLoop
    private var requests = RequestQueue<Request>()
    private var replyTimer: (timer: EventLoop.TimerID, deadline: ContinuousClock.Instant)?
    private var arrivals: [Int: Waiter<Void>] = [:]  // commands that wait for a connection or for room
    private var lastArrival = 0
    private var lastFailure: RedisError?

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(endpoint: RedisEndpoint, name: String? = nil, loop: EventLoop, logger: Logger) {
        self.loop = loop
        link = Link(endpoint: endpoint, name: name, loop: loop, logger: logger)
        loop.execute { [link, weak self] in
            link.setHandler { [weak self] event in
                self?.assumeIsolated { $0.handle(event) }
            }
        }
    }

    deinit {
        loop.execute { [link] in link.close() }
    }

    /// Commands sent and not answered yet.
    var pending: Int { requests.count }

    /// Lends a connection of its own, named `name` in the server's `CLIENT LIST`, and closes it.
    @discardableResult
    package static func withConnection<R>(
        url: String, name: String? = nil, loop: EventLoop = .next(), logger: Logger = Logger(label: "martlet.redis"),
        _ body: (RedisConnection) async throws -> R
    ) async throws -> R {
        let connection = RedisConnection(
            endpoint: try RedisEndpoint(url: url), name: name, loop: loop, logger: logger)
        do {
            let result = try await body(connection)
            await connection.close()
            return result
        } catch {
            await connection.close()
            throw error
        }
    }

    /// Carries out one command. An error reply is thrown.
    @discardableResult
    package func command(_ words: RedisArgument...) async throws -> RedisValue {
        try await command(words)
    }

    /// Carries out one command. An error reply is thrown. `replyLimit` is how long the server may take: for a
    /// blocking command more than its own timeout.
    @discardableResult
    package func command(
        _ words: [RedisArgument], replyLimit: Duration = RedisConnection.replyLimit
    ) async throws -> RedisValue {
        let reply = try await send([words], replyLimit: replyLimit)[0]
        if case .error(let text) = reply { throw RedisError(.server, text) }
        return reply
    }

    /// Sends all the commands at once and waits for all replies, which it returns in order; some may be errors.
    /// Not a transaction: other tasks' commands do not come between, but other connections' may.
    package func pipeline(_ commands: [[RedisArgument]]) async throws -> [RedisValue] {
        try await send(commands, replyLimit: Self.replyLimit)
    }

    /// Ends the connection for good; commands under way and later ones fail with `.closed`.
    package func close() {
        link.close()
        fail(with: RedisError(.closed, "\(link.endpoint): closed by us"), arrivalsToo: true)
    }

    // MARK: Sending

    private func send(_ commands: [[RedisArgument]], replyLimit: Duration) async throws -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        precondition(commands.allSatisfy { !$0.isEmpty }, "a Redis command without a word")
        try Task.checkCancellation()
        if !isOpen { try await waitUntilOpen() }
        link.write { output in
            for command in commands { RedisArgument.encode(command, into: &output) }
        }
        let waiter = Waiter<[RedisValue]>()
        let deadline = ContinuousClock.now + replyLimit
        requests.append(Request(waiter: waiter, deadline: deadline, missing: commands.count))
        watchDeadline()
        return try await waiter.value()
    }

    private var isOpen: Bool {
        link.isReady && link.unsent < Self.unsentLimit && requests.count < Self.requestLimit
    }

    private func waitUntilOpen() async throws {
        let deadline = ContinuousClock.now + Self.patience
        repeat {
            if link.isClosed { throw RedisError(.closed, "\(link.endpoint): closed by us") }
            lastArrival += 1
            let number = lastArrival
            let waiter = Waiter<Void>()
            arrivals[number] = waiter
            let timer = loop.schedule(after: deadline - .now) { [self] in
                assumeIsolated { waiter.resume(with: .failure($0.unreachable)) }
            }
            defer {
                loop.cancel(timer)
                arrivals[number] = nil
            }
            link.open()  // last: where there is no socket it fails before it returns
            try await waiter.value()
        } while !isOpen
    }

    private var unreachable: RedisError {
        guard !link.isReady else {
            return RedisError(.timeout, "\(link.endpoint): too many commands unanswered for \(Self.patience)")
        }
        return lastFailure ?? RedisError(.connectionFailed, "\(link.endpoint): no connection within \(Self.patience)")
    }

    private func admitArrivals() {
        guard !arrivals.isEmpty, isOpen else { return }
        for number in arrivals.keys.sorted() { arrivals[number]?.resume(with: .success(())) }
    }

    // MARK: Events of the link

    private func handle(_ event: Link.Event) {
        switch event {
        case .ready: admitArrivals()
        case .reply(let reply): take(reply)
        case .down(let error, let isPermanent):
            lastFailure = RedisError(.connectionFailed, error.message)
            fail(with: error, arrivalsToo: isPermanent)
            if !arrivals.isEmpty && !isPermanent { link.open() }
        }
    }

    private func take(_ reply: RedisValue) {
        guard requests.count > 0 else {
            return link.drop(RedisError(.protocolViolation, "a reply that nothing asked for"))
        }
        requests.first?.replies.append(reply)
        requests.first?.missing -= 1
        guard requests.first?.missing == 0, let done = requests.removeFirst() else { return }
        done.waiter.resume(with: .success(done.replies))
        watchDeadline()
        if requests.count < Self.requestLimit / 2, link.unsent < Self.unsentLimit / 2 { admitArrivals() }
    }

    private func fail(with error: RedisError, arrivalsToo: Bool) {
        replyTimer.map { loop.cancel($0.timer) }
        replyTimer = nil
        for request in requests.removeAll() { request.waiter.resume(with: .failure(error)) }
        if arrivalsToo {
            for waiter in arrivals.values { waiter.resume(with: .failure(error)) }
        }
    }

    /// Keeps one timer for the oldest request. It may be early (it looks again then), never late.
    private func watchDeadline() {
        guard let next = requests.first?.deadline else { return }
        if let replyTimer {
            if replyTimer.deadline <= next { return }
            loop.cancel(replyTimer.timer)
        }
        let timer = loop.schedule(after: next - .now) { [weak self] in
            self?.assumeIsolated { $0.checkDeadline() }
        }
        replyTimer = (timer, next)
    }

    private func checkDeadline() {
        replyTimer = nil
        guard let oldest = requests.first else { return }
        if oldest.deadline <= .now {
            link.drop(RedisError(.timeout, "no reply in time; the connection was given up"))
        } else {
            watchDeadline()
        }
    }
}
