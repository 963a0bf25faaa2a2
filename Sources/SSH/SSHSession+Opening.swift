import EventLoop

/// A channel somebody wants opened.
final class Opening {
    let type: String
    let message: [UInt8]
    let target: String  // for messages
    let waiter = Waiter<Int>()
    var number: Int?  // of the channel, once it is open
    var isForgotten = false  // to be closed when it succeeds
    var isSpare = false  // nobody waits for it
    var port = 0  // of a spare one

    init(type: String, message: [UInt8], target: String) {
        self.type = type
        self.message = message
        self.target = target
    }

    /// Throws `channelRefused` for what is no port.
    static func directTCPIP(host: String = "127.0.0.1", port: Int) throws(SSHError) -> Opening {
        guard let number = UInt16(exactly: port), number > 0 else {
            throw SSHError(.channelRefused, "\(port) is not a port")
        }
        // RFC 4254, section 7.2: where to, and from where; the latter is for the server's log.
        var message = WireWriter()
        message.string(host)
        message.integer(UInt32(number))
        message.string("127.0.0.1")
        message.integer(0)
        return Opening(type: "direct-tcpip", message: message.bytes, target: "channel to \(host):\(port)")
    }
}

extension SSHSession {
    /// Opens a channel to a TCP port as the machine sees it. Throws `channelRefused` if nothing listens there,
    /// `connectionLost`, `timeout`, or `CancellationError`; a channel that opens too late is closed again.
    ///
    /// Openings of one session are done one after another, a round trip each.
    package func openDirectTCPIP(
        host: String = "127.0.0.1", port: Int, timeout: Duration = .seconds(10)
    ) async throws -> SSHChannel {
        try await open(Opening.directTCPIP(host: host, port: port), timeout)
    }

    /// Opens a channel to run one command or subsystem. OpenSSH allows ten of them at once (`MaxSessions`).
    func openSession(timeout: Duration = .seconds(10)) async throws -> SSHChannel {
        try await open(Opening(type: "session", message: [], target: "session"), timeout)
    }

    /// Starts a command (`exec`) or a `subsystem`.
    func start(_ request: String, _ argument: String, on channel: SSHChannel) async throws {
        guard let state = channels[channel.number] else {
            throw SSHError(.channelClosed, "the channel was closed here")
        }
        try await finishing { () throws(SSHError) in
            guard let result = try state.handle?.start(request, argument) else {
                throw state.failure ?? SSHError(.channelClosed, "the channel was closed here")
            }
            return result
        }
    }

    private func open(_ opening: Opening, _ timeout: Duration) async throws -> SSHChannel {
        try Task.checkCancellation()
        try enqueue(opening)
        return try await opened(opening, within: timeout)
    }

    /// Waits for an opening that is under way.
    func opened(_ opening: Opening, within timeout: Duration) async throws -> SSHChannel {
        let error = SSHError(.timeout, "\(opening.target) in \(endpoint): not open within \(timeout)")
        let timer = loop.schedule(after: timeout) { opening.waiter.resume(with: .failure(error)) }
        defer { loop.cancel(timer) }
        do {
            return SSHChannel(session: self, number: try await opening.waiter.value())
        } catch {
            forget(opening)
            throw error
        }
    }
}
