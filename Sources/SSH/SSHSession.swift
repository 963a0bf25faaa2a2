import EventLoop
import Logging
import Synchronization

/// One SSH connection and any number of channels over it, on one event loop.
///
/// libssh2 reads packets of every channel in whichever call comes first, keeps one half-sent packet and one
/// half-opened channel per session, and opens a channel's window when it likes. So nothing is left to chance here:
///
/// - **Receiving** happens in one place, ``turn(_:)``, when the socket is readable: the library reads all that has
///   come, then every channel's bytes are moved to its own buffer and its reader is woken. A reader touches only that
///   buffer, so a slow one holds up nobody, and the library's own queue, which it searches from its beginning at every
///   read, stays empty.
/// - **Windows** are opened by us: ``windowSize`` at first, then by what was read. Bytes under way, in the library
///   and unread here are never more than that, for each channel.
/// - **Sending** never blocks and is never left half-done: the wire (`shim.h`) takes whole packets. Data is sent
///   packet by packet from the channels in turn, and only while little is unsent.
/// - A call that answers "again" wants a packet. It is kept in `unfinished`, and repeated after every turn that
///   received something. So channels are closed, freed and opened to the end whether somebody waits for it or not.
/// - **Openings** are done one at a time, in order. One whose caller has gone is closed when it succeeds. To where many
///   short conversations lead, channels are open before they are wanted (``SpareChannels``).
/// - **Silence** of 15 s is answered by a question, 45 s of it is a lost connection.
/// - A lost connection fails everything that waits. Then the wire is cut, after which every call of the library ends
///   at once, so that all is freed on the spot.
package actor SSHSession {
    /// The most bytes of one channel that are sent, received and not read yet.
    package static let windowSize = 256 * 1024
    static let receivedInOneTurn = 512 * 1024
    static let unsentLimit = 128 * 1024
    static let silenceLimit = 3  // intervals
    static let openingLimit = 1024  // that wait

    enum Life {
        case connecting(awaiting: String)
        case running(SessionHandle)
        case closing(SessionHandle)  // lets go what is under way, takes nothing new
        case over(SSHError)
    }

    package nonisolated let endpoint: SSHEndpoint
    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    nonisolated let loop: EventLoop
    let logger: Logger
    var life = Life.connecting(awaiting: "TCP connection") {
        didSet {
            if case .running = life {
                standing.store(true, ordering: .relaxed)
            } else {
                standing.store(false, ordering: .relaxed)
            }
        }
    }
    var channels: [Int: ChannelState] = [:]
    var spares = SpareChannels()
    private nonisolated let standing = Atomic(false)  // `life` is running
    private var lastNumber = 0
    private var openings: [Opening] = []  // the first is under way
    private var unfinished: [() -> Bool] = []  // calls to repeat; true: done
    private var sendQueue: [ChannelState] = []  // channels with something to send and room for it, in turn
    private var settling: [Waiter<Void>] = []  // whoever waits for `isSettled`
    private let keepaliveInterval: Duration
    private var keepalive: EventLoop.TimerID?
    private var receivedAtLastTick: UInt64 = 0
    private var silentTicks = 0

    init(endpoint: SSHEndpoint, keepaliveInterval: Duration, loop: EventLoop, logger: Logger) {
        self.endpoint = endpoint
        self.keepaliveInterval = keepaliveInterval
        self.loop = loop
        self.logger = logger
    }

    isolated deinit {
        // Not closed by its owner: the descriptor must not be closed while it is watched.
        if case .running(let handle) = life { loop.unwatch(handle.descriptor) }
        keepalive.map(loop.cancel)
    }

    /// Whether the connection stands, as far as is known: a dead peer is noticed after 45 s at the latest.
    package nonisolated var isAlive: Bool { standing.load(ordering: .relaxed) }

    /// How many channels are open or being closed.
    package var channelCount: Int { channels.count }

    /// How many bytes of a channel are here and not read; never more than ``windowSize``.
    package func unreadBytes(of channel: SSHChannel) -> Int { channels[channel.number]?.unread ?? 0 }

    var handle: SessionHandle? {
        switch life {
        case .running(let handle), .closing(let handle): handle
        case .connecting, .over: nil
        }
    }

    /// Begins to live on the loop, once logged in.
    func start(_ handle: SessionHandle) {
        life = .running(handle)
        loop.watch(handle.descriptor, for: .read) { [weak self] readiness in
            self?.assumeIsolated { $0.turn(readiness) }
        }
        scheduleKeepalive()
    }

    // MARK: Turns

    /// The socket is ready: everything that this allows is done before it returns.
    private func turn(_ readiness: EventLoop.Readiness) {
        guard let handle else { return }
        let before = handle.received
        var lost: SSHError?
        if readiness.contains(.read) {
            do {
                try receive(handle)
            } catch {
                lost = error
            }
        }
        if handle.received != before || lost != nil {
            continueOpenings()
            continueUnfinished()
            drainChannels(handle)
        }
        if let lost { return lose(lost) }
        flush()
    }

    private func receive(_ handle: SessionHandle) throws(SSHError) {
        try handle.receiving(atMost: Self.receivedInOneTurn) { () throws(SSHError) in
            if channels.isEmpty {
                // Nobody to read for: a question reads what has come while it waits for its answer.
                if openings.isEmpty { ask() } else { continueOpenings() }
            }
            try channels.values.first { $0.handle != nil }?.handle?.receive()
        }
    }

    private func drainChannels(_ handle: SessionHandle) {
        for channel in channels.values {
            if channel.drain(scratch: handle.scratch) { channel.wakeReaders() }
            if !channel.outgoing.isEmpty { enqueueForSending(channel) }
            if channel.isClosedByPeer, !channel.outgoing.isEmpty {
                channel.failWrites(SSHError(.channelClosed, "\(channel.target) was closed by its other end"))
            }
        }
    }

    /// Repeats `attempt` after every turn that received something, until it says that it is done.
    private func finish(_ attempt: @escaping () -> Bool) {
        if !attempt() { unfinished.append(attempt) }
    }

    private func continueUnfinished() {
        guard !unfinished.isEmpty else { return }
        let attempts = unfinished
        unfinished.removeAll(keepingCapacity: true)
        for attempt in attempts where !attempt() { unfinished.append(attempt) }
    }

    // MARK: Sending

    private func enqueueForSending(_ channel: ChannelState) {
        guard !channel.isInSendQueue else { return }
        channel.isInSendQueue = true
        sendQueue.append(channel)
    }

    /// Sends what waits, a packet from each channel in turn, as far as the socket takes it.
    func flush() {
        guard let handle else { return }
        do {
            while true {
                try fillOutbox(handle)
                let isEmpty = try handle.flush()
                loop.setInterest(of: handle.descriptor, to: isEmpty ? .read : [.read, .write])
                if !isEmpty || sendQueue.isEmpty { break }
            }
        } catch {
            return lose(error)
        }
        if !settling.isEmpty, isSettled { wakeSettling() }
    }

    private func fillOutbox(_ handle: SessionHandle) throws(SSHError) {
        while handle.unsent < Self.unsentLimit, !sendQueue.isEmpty {
            let channel = sendQueue.removeFirst()
            channel.isInSendQueue = false
            do {
                switch try channel.sendOne() {
                case .progress: enqueueForSending(channel)
                case .done, .windowFull, .again: break  // a turn that receives something enqueues it again
                }
            } catch {
                if error.code == .connectionLost { throw error }
                channel.failWrites(error)
            }
        }
    }

    // MARK: Openings

    func enqueue(_ opening: Opening) throws(SSHError) {
        switch life {
        case .running: break
        case .connecting, .closing:
            throw SSHError(.connectionLost, "the connection to \(endpoint) is not open")
        case .over(let error): throw error
        }
        guard openings.count < Self.openingLimit else {
            throw SSHError(.channelRefused, "\(openings.count) channels are being opened on \(endpoint) already")
        }
        openings.append(opening)
        if openings.count == 1 {
            continueOpenings()
            flush()
        }
    }

    /// The caller does not wait any more.
    func forget(_ opening: Opening) {
        if let number = opening.number { return beginClosing(number) }
        opening.isForgotten = true
        // The first is under way in the library, and can only be gone through with.
        if let index = openings.firstIndex(where: { $0 === opening }), index > 0 { openings.remove(at: index) }
    }

    private func continueOpenings() {
        while let opening = openings.first, let handle {
            do {
                switch try handle.open(opening.type, opening.message) {
                case .again: return
                case .done(let channel):
                    openings.removeFirst()
                    adopt(channel, opening)
                }
            } catch {
                openings.removeFirst()
                if opening.isSpare { forgetSpare(opening) }
                opening.waiter.resume(with: .failure(error.at("\(opening.target) in \(endpoint)")))
            }
        }
    }

    private func adopt(_ channel: consuming ChannelHandle, _ opening: Opening) {
        lastNumber += 1
        let number = lastNumber
        let state = ChannelState(
            number, opening.target, isCommand: opening.type == "session", handle: channel)
        channels[number] = state
        opening.number = number
        if opening.isForgotten { return beginClosing(number) }
        grant {
            try state.grantInitially(Self.windowSize)
        } again: {
            try state.continueGranting()
        }
        if opening.isSpare { keepSpare(opening, number) }
        opening.waiter.resume(with: .success(number))
    }

    private func grant(_ first: () throws -> Bool, again: @escaping () throws -> Bool) {
        // A failure here is the connection's, and the next turn learns of it.
        if (try? first()) == true { unfinished.append { (try? again()) != true } }
    }

    /// Opens a channel of a type that no server knows: the refusal is the answer.
    private func ask() {
        openings.append(Opening(type: "keepalive@martlet", message: [], target: "nothing"))
        continueOpenings()
    }

    // MARK: Reading and writing

    func read(_ number: Int, _ stream: ChannelHandle.Stream, upTo limit: Int) async throws -> [UInt8]? {
        precondition(limit > 0, "a read of nothing would never end")
        while true {
            try Task.checkCancellation()
            guard let channel = channels[number], channel.life != .closing else { throw closedHere() }
            if let bytes = channel.take(stream, upTo: limit) {
                grant {
                    try channel.grantConsumed(window: Self.windowSize)
                } again: {
                    try channel.continueGranting()
                }
                if let handle, handle.unsent > 0 { flush() }
                return bytes
            }
            if channel.isAtEnd { return nil }
            if let failure = channel.failure { throw failure }
            let waiter = channel.addReader()
            do {
                try await waiter.value()
            } catch {
                channel.removeReader(waiter)
                throw error
            }
        }
    }

    /// Sends bytes, or with `nil` the end of what is sent.
    func send(_ bytes: [UInt8]?, on number: Int) async throws {
        try Task.checkCancellation()
        let item = try post(bytes, on: number)
        flush()
        if !item.isDone { try await item.waiter.value() }
    }

    /// Has bytes sent with the next ``flush()``, behind what is to be sent already.
    @discardableResult
    func post(_ bytes: [UInt8]?, on number: Int) throws(SSHError) -> ChannelState.Outgoing {
        guard let channel = channels[number], channel.life == .open else { throw closedHere() }
        if let failure = channel.failure { throw failure }
        if channel.isClosedByPeer {
            throw SSHError(.channelClosed, "\(channel.target) was closed by its other end")
        }
        let item = ChannelState.Outgoing(bytes)
        channel.outgoing.append(item)
        enqueueForSending(channel)
        return item
    }

    private func closedHere() -> SSHError {
        if case .over(let error) = life { return error }
        return SSHError(.channelClosed, "the channel was closed here")
    }

    // MARK: Closing channels

    func close(_ number: Int) async {
        beginClosing(number)
        guard let channel = channels[number] else { return }
        let waiter = Waiter<Void>()
        channel.closers.append(waiter)
        try? await waiter.value()  // cancelled: it is closed all the same
    }

    func beginClosing(_ number: Int) {
        guard let channel = channels[number] else { return }
        guard handle != nil else {
            channels[number] = nil
            return
        }
        guard channel.life == .open, !spares.left.contains(number) else { return }
        channel.life = .closing
        endConversation(number)
        let error = SSHError(.channelClosed, "the channel was closed here")
        channel.failWrites(error)
        channel.wakeReaders()
        finish { [weak self] in
            if channel.continueClosing() { return false }
            channel.finish()
            self?.assumeIsolated { $0.channels[number] = nil }
            return true
        }
        flush()
    }

    /// Repeats a call of the library until it is done. Not ended by cancellation, for the library can not stop
    /// half-way; the loss of the connection ends it.
    func finishing<Value: Sendable>(_ attempt: @escaping () throws(SSHError) -> Attempt<Value>) async throws -> Value {
        let waiter = Waiter<Value>()
        finish {
            do throws(SSHError) {
                guard case .done(let value) = try attempt() else { return false }
                waiter.resume(with: .success(value))
            } catch {
                waiter.resume(with: .failure(error))
            }
            return true
        }
        flush()
        return try await withCheckedThrowingContinuation { waiter.hold($0) }
    }

    // MARK: The end

    /// Closes every channel and the connection, and frees all. What was written is delivered first, for at most a
    /// second; commands are not waited for. Again does nothing.
    package func close() async {
        guard case .running(let handle) = life else { return }
        life = .closing(handle)
        for number in channels.keys { beginClosing(number) }
        if !isSettled {
            let waiter = Waiter<Void>()
            settling.append(waiter)
            let timer = loop.schedule(after: .seconds(1)) { waiter.resume(with: .success(())) }
            try? await waiter.value()  // cancelled: then without waiting
            loop.cancel(timer)
        }
        guard self.handle != nil else { return }
        handle.disconnect()
        lose(SSHError(.connectionLost, "the connection to \(endpoint) was closed here"))
    }

    private var isSettled: Bool {
        guard let handle else { return true }
        return handle.unsent == 0 && channels.values.allSatisfy { $0.isCommand }
    }

    private func wakeSettling() {
        for waiter in settling { waiter.resume(with: .success(())) }
        settling.removeAll()
    }

    /// The connection is gone: whoever waits is told, and all that the library holds is freed.
    private func lose(_ error: SSHError) {
        guard let handle else { return }
        let wasRunning = isAlive
        let error = error.at("\(endpoint)")
        drainChannels(handle)  // what had come is still handed out
        loop.unwatch(handle.descriptor)
        keepalive.map(loop.cancel)
        life = .over(error)
        handle.cut()
        for opening in openings { opening.waiter.resume(with: .failure(error)) }
        openings.removeAll()
        for spare in spares.ready.values.joined() { loop.cancel(spare.expiry) }
        spares = SpareChannels()
        continueUnfinished()  // the wire is cut, so these end now
        unfinished.removeAll()
        sendQueue.removeAll()
        for (number, channel) in channels {
            channel.failure = error
            channel.failWrites(error)
            if channel.life == .closing { channels[number] = nil }
            channel.finish()
            channel.wakeReaders()
        }
        wakeSettling()
        if wasRunning {
            logger.info("SSH connection lost", metadata: ["endpoint": "\(endpoint)", "reason": "\(error.message)"])
        }
    }

    // MARK: Keepalive

    private func scheduleKeepalive() {
        keepalive = loop.schedule(after: keepaliveInterval) { [weak self] in
            self?.assumeIsolated { $0.tick() }
        }
    }

    private func tick() {
        guard let handle else { return }
        scheduleKeepalive()
        if handle.received != receivedAtLastTick {
            receivedAtLastTick = handle.received
            silentTicks = 0
            return
        }
        silentTicks += 1
        if silentTicks >= Self.silenceLimit {
            return lose(SSHError(.connectionLost, "no answer for \(keepaliveInterval * silentTicks)"))
        }
        // An opening under way is a question already, but its answer may be up to a program in the machine.
        if openings.isEmpty { ask() } else { handle.sendKeepalive() }
        flush()
    }
}
