import EventLoop

/// Channels to a port that were opened before anybody asked for them, so that the next conversation begins without the
/// round trip that opens one. They count as open channels, and what listens there sees a connection that says nothing.
///
/// They are made when the last was taken, and else once a conversation is over and its answer on its way
/// (``SSHSession/conversationDelay``), so that they are not in the way of it, up to ``SSHSession/spareLimit``; what nobody
/// takes in time is closed. So a place that nobody speaks with has none.
struct SpareChannels {
    struct Spare {
        let number: Int
        let expiry: EventLoop.TimerID
    }

    var ready: [Int: [Spare]] = [:]  // by port
    var opening: [Int: [Opening]] = [:]
    var due: Set<Int> = []  // ports that are to have some in a moment
    var left: [Int] = []  // channels that are to be closed then
    var isTidying = false
    var conversations: [Int: Int] = [:]  // ports of the channels that were begun, by number of the channel

    func count(_ port: Int) -> Int { opening[port, default: []].count + ready[port, default: []].count }
}

extension SSHSession {
    /// For each port. A burst of callers beyond them opens its own.
    static let spareLimit = 2
    /// Less than the silence after which a runner ends a connection (15 s).
    static let spareLifetime = Duration.seconds(10)
    /// For an answer to get from here to its client before the machine that both may be on closes its channel and opens
    /// others.
    static let conversationDelay = Duration.milliseconds(5)

    /// Opens a channel to a port of the machine's loopback as ``openDirectTCPIP(host:port:timeout:)`` does, or takes one
    /// that is open already, and begins to send `bytes` on it. Returns before they are sent. Has some made for the next.
    package func beginDirectTCPIP(port: Int, sending bytes: [UInt8]) async throws -> SSHChannel {
        try Task.checkCancellation()
        let channel: SSHChannel
        if let number = takeSpare(port) {
            channel = SSHChannel(session: self, number: number)
        } else if let opening = spares.opening[port]?.popLast() {
            opening.isSpare = false
            channel = try await opened(opening, within: .seconds(10))
        } else {
            channel = try await openDirectTCPIP(port: port)
        }
        try post(bytes, on: channel.number)
        spares.conversations[channel.number] = port
        if spares.count(port) == 0 { makeSpares(port) }
        flush()
        return channel
    }

    /// Nothing more is to come on a channel, and it is to be closed when there is time.
    func leave(_ number: Int) {
        guard channels[number]?.life == .open, isAlive, !spares.left.contains(number) else { return }
        spares.left.append(number)
        endConversation(number)
        tidySoon()
    }

    /// A channel is being closed here.
    func endConversation(_ number: Int) {
        guard let port = spares.conversations.removeValue(forKey: number), isAlive else { return }
        spares.due.insert(port)
        tidySoon()
    }

    private func tidySoon() {
        guard !spares.isTidying else { return }
        spares.isTidying = true
        loop.schedule(after: Self.conversationDelay) { [weak self] in self?.assumeIsolated { $0.tidy() } }
    }

    private func tidy() {
        let (left, due) = (spares.left, spares.due)
        (spares.left, spares.due, spares.isTidying) = ([], [], false)
        guard isAlive else { return }
        for number in left { beginClosing(number) }
        for port in due { makeSpares(port) }
    }

    private func takeSpare(_ port: Int) -> Int? {
        while let spare = spares.ready[port]?.popLast() {
            loop.cancel(spare.expiry)
            if let channel = channels[spare.number], channel.life == .open, !channel.isAtEnd { return spare.number }
            beginClosing(spare.number)
        }
        return nil
    }

    private func makeSpares(_ port: Int) {
        for _ in min(spares.count(port), Self.spareLimit)..<Self.spareLimit {
            guard let opening = try? Opening.directTCPIP(port: port) else { return }
            opening.isSpare = true
            opening.port = port
            spares.opening[port, default: []].append(opening)
            do { try enqueue(opening) } catch { forgetSpare(opening) }  // whoever needs one learns why
        }
    }

    /// It is open, and nobody has asked for it yet.
    func keepSpare(_ opening: Opening, _ number: Int) {
        forgetSpare(opening)
        let port = opening.port
        let expiry = loop.schedule(after: Self.spareLifetime) { [weak self] in
            self?.assumeIsolated { session in
                session.spares.ready[port]?.removeAll { $0.number == number }
                session.beginClosing(number)
            }
        }
        spares.ready[port, default: []].append(SpareChannels.Spare(number: number, expiry: expiry))
    }

    func forgetSpare(_ opening: Opening) {
        spares.opening[opening.port]?.removeAll { $0 === opening }
    }
}
