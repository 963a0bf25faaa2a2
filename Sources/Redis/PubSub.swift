import EventLoop
import Logging

/// All subscriptions of a client, over one connection. A channel is subscribed to once, however many want it, and
/// left when the last has gone. A subscription counts as confirmed when the server has acknowledged each of its
/// channels *since the connection was made*; on a new connection all are asked for again, and when a subscription is
/// whole it is told by `.resubscribed`.
///
/// It reconnects for as long as somebody subscribes. A PING every ``heartbeat`` tells a dead peer from a quiet one.
actor PubSub {
    private struct Subscriber {
        let mailbox = Mailbox()
        let channels: Set<String>
        var unconfirmed: Set<String>
        let confirmation = Waiter<Void>()
        var wasConfirmed = false
    }

    private static let patience = RedisConnection.patience
    private static let heartbeat = Duration.seconds(15)

    private let link: Link
    private let loop: EventLoop
    private var subscribers: [Int: Subscriber] = [:]
    private var lastNumber = 0
    private var channels: [String: Set<Int>] = [:]  // who wants it
    private var awaited: [String: Int] = [:]  // SUBSCRIBEs sent on this connection and not acknowledged
    private var lastHeard = ContinuousClock.now
    private var heartbeatTimer: EventLoop.TimerID?

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(endpoint: RedisEndpoint, loop: EventLoop, logger: Logger) {
        self.loop = loop
        link = Link(endpoint: endpoint, name: nil, loop: loop, logger: logger)
        loop.execute { [link, weak self] in
            link.setHandler { [weak self] event in
                self?.assumeIsolated { $0.handle(event) }
            }
        }
    }

    deinit {
        loop.execute { [link] in link.close() }
    }

    /// Subscribes, and returns once the server has confirmed it. ``leave(_:)`` must follow.
    func join(_ names: Set<String>) async throws -> (number: Int, mailbox: Mailbox) {
        guard !link.isClosed else { throw RedisError(.closed, "\(link.endpoint): closed by us") }
        try Task.checkCancellation()
        lastNumber += 1
        let number = lastNumber
        var added: [String] = []
        var unconfirmed: Set<String> = []
        for name in names {
            if channels[name] == nil { added.append(name) }
            channels[name, default: []].insert(number)
            if !link.isReady || added.last == name || awaited[name] != nil { unconfirmed.insert(name) }
        }
        let subscriber = Subscriber(channels: names, unconfirmed: unconfirmed)
        subscribers[number] = subscriber
        if unconfirmed.isEmpty {
            subscribers[number]?.wasConfirmed = true
            return (number, subscriber.mailbox)
        }
        if link.isReady { ask(for: added) } else { link.open() }
        do {
            try await confirmed(subscriber.confirmation)
        } catch {
            leave(number)
            throw error
        }
        return (number, subscriber.mailbox)
    }

    /// Ends a subscription. Does not wait for the server.
    func leave(_ number: Int) {
        guard let subscriber = subscribers.removeValue(forKey: number) else { return }
        subscriber.mailbox.end()
        var left: [RedisArgument] = []
        for name in subscriber.channels {
            channels[name]?.remove(number)
            guard channels[name]?.isEmpty == true else { continue }
            channels[name] = nil
            left.append(RedisArgument(name))
        }
        if link.isReady, !left.isEmpty {
            link.write { RedisArgument.encode(["UNSUBSCRIBE"] + left, into: &$0) }
        }
    }

    func close() {
        heartbeatTimer.map(loop.cancel)
        heartbeatTimer = nil
        link.close()
        for subscriber in subscribers.values {
            subscriber.confirmation.resume(
                with: .failure(RedisError(.closed, "\(link.endpoint): closed by us")))
            subscriber.mailbox.end()
        }
    }

    private func confirmed(_ confirmation: Waiter<Void>) async throws {
        let limit = RedisError(.timeout, "\(link.endpoint): subscription not confirmed within \(Self.patience)")
        let timer = loop.schedule(after: Self.patience) { confirmation.resume(with: .failure(limit)) }
        defer { loop.cancel(timer) }
        try await confirmation.value()
    }

    private func ask(for names: [String]) {
        guard !names.isEmpty else { return }
        for name in names { awaited[name, default: 0] += 1 }
        link.write { RedisArgument.encode(["SUBSCRIBE"] + names.map { RedisArgument($0) }, into: &$0) }
    }

    // MARK: Events of the link

    private func handle(_ event: Link.Event) {
        switch event {
        case .ready:
            ask(for: Array(channels.keys))
            lastHeard = .now
            scheduleHeartbeat()
        case .reply(let reply):
            lastHeard = .now
            take(reply)
        case .down(let error, let isPermanent):
            heartbeatTimer.map(loop.cancel)
            heartbeatTimer = nil
            awaited = [:]
            for (number, subscriber) in subscribers {
                subscribers[number]?.unconfirmed = subscriber.channels
                if isPermanent { subscriber.confirmation.resume(with: .failure(error)) }
            }
            if !subscribers.isEmpty { link.open() }
        }
    }

    /// In RESP2 a subscriber's connection carries `[kind, channel, payload or count]`, and `PONG` in two forms.
    private func take(_ reply: RedisValue) {
        if case .error(let text) = reply {
            return link.drop(RedisError(.protocolViolation, "refused on the pub/sub connection: \(text)"))
        }
        guard case .array(let parts) = reply, parts.count == 3, let channel = parts[1].text else { return }
        switch parts[0] {
        case "message":
            guard let payload = parts[2].bytes else { return }
            for number in channels[channel] ?? [] {
                subscribers[number]?.mailbox.put(.message(channel: channel, payload: payload))
            }
        case "subscribe": acknowledged(channel)
        default: break
        }
    }

    /// Replies come in order, so the last SUBSCRIBE of a channel is in force when as many are acknowledged as sent.
    private func acknowledged(_ channel: String) {
        guard let count = awaited[channel] else { return }
        guard count == 1 else {
            awaited[channel] = count - 1
            return
        }
        awaited[channel] = nil
        for number in channels[channel] ?? [] {
            guard subscribers[number]?.unconfirmed.remove(channel) != nil,
                let subscriber = subscribers[number], subscriber.unconfirmed.isEmpty
            else { continue }
            if subscriber.wasConfirmed {
                subscriber.mailbox.put(.resubscribed)
            } else {
                subscribers[number]?.wasConfirmed = true
                subscriber.confirmation.resume(with: .success(()))
            }
        }
    }

    private func scheduleHeartbeat() {
        heartbeatTimer = loop.schedule(after: Self.heartbeat) { [weak self] in
            self?.assumeIsolated { $0.beat() }
        }
    }

    private func beat() {
        heartbeatTimer = nil
        guard link.isReady else { return }
        if lastHeard.duration(to: .now) > Self.heartbeat * 2 {
            return link.drop(RedisError(.timeout, "no answer to PING on the pub/sub connection"))
        }
        link.write { RedisArgument.encode(["PING"], into: &$0) }
        scheduleHeartbeat()
    }
}
