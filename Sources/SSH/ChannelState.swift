import EventLoop

/// What a session knows of one of its channels. Touched by the session's actor only.
final class ChannelState {
    /// Something to send, in order. One that is cancelled is still carried out, or the peer would see half a message.
    final class Outgoing {
        let bytes: [UInt8]?  // nil: the end of input
        var sent = 0
        let waiter = Waiter<Void>()
        var isDone = false

        init(_ bytes: [UInt8]?) { self.bytes = bytes }
    }

    enum Life {
        case open
        case closing  // we have closed it; the library frees it when the peer has, too
        case over  // freed
    }

    let number: Int
    let target: String  // for messages
    let isCommand: Bool  // has an error stream, and is closed by the peer when the command has ended, not before
    var handle: ChannelHandle?
    var life = Life.open
    var failure: SSHError?  // why there is no more to come, after what has come

    // Receiving. The bytes the peer may still send, those here unread and those of `consumed` make up the window.
    private var output = ByteQueue()
    private var error = ByteQueue()
    private(set) var isAtEnd = false
    private(set) var isClosedByPeer = false
    private var consumed = 0
    private var granting = 0  // an opening of the window the library has not sent yet
    private var readers: [Waiter<Void>] = []
    var closers: [Waiter<Void>] = []

    // Sending
    var outgoing: [Outgoing] = []
    var isInSendQueue = false

    init(_ number: Int, _ target: String, isCommand: Bool, handle: consuming ChannelHandle) {
        self.number = number
        self.target = target
        self.isCommand = isCommand
        self.handle = consume handle
    }

    // MARK: Receiving

    /// Moves what the library holds for this channel here. True if a reader has something to see.
    func drain(scratch: UnsafeMutableRawBufferPointer) -> Bool {
        guard !isClosedByPeer, handle != nil else { return false }
        defer { if life == .closing { discardUnread() } }
        var isNews = false
        if !isAtEnd {
            isNews = drain(.output, scratch: scratch)
            if isCommand, drain(.error, scratch: scratch) { isNews = true }
        }
        if isAtEnd, handle?.isClosedByPeer == true {
            isClosedByPeer = true
            isNews = true
        }
        return isNews
    }

    private func drain(_ stream: ChannelHandle.Stream, scratch: UnsafeMutableRawBufferPointer) -> Bool {
        var isNews = false
        while let reading = handle?.read(stream) {
            switch reading {
            case .again: return isNews
            case .end:
                isAtEnd = true
                return true
            case .bytes(let count):
                isNews = true
                let bytes = UnsafeRawBufferPointer(rebasing: scratch[..<count])
                switch stream {
                case .output: output.append(bytes)
                case .error: error.append(bytes)
                }
            }
        }
        return isNews
    }

    func take(_ stream: ChannelHandle.Stream, upTo limit: Int) -> [UInt8]? {
        let bytes =
            switch stream {
            case .output: output.take(upTo: limit)
            case .error: error.take(upTo: limit)
            }
        consumed += bytes?.count ?? 0
        return bytes
    }

    /// Opens the window by what was read, once that is a quarter of it: not a packet for every read. True if the
    /// library has to be asked again.
    func grantConsumed(window: Int) throws(SSHError) -> Bool {
        guard life == .open, !isAtEnd else { return false }
        if granting == 0, consumed >= window / 4 {
            granting = consumed
            consumed = 0
        }
        return try continueGranting()
    }

    func grantInitially(_ window: Int) throws(SSHError) -> Bool {
        granting = window
        return try continueGranting()
    }

    func continueGranting() throws(SSHError) -> Bool {
        guard granting > 0, life == .open else { return false }
        if case .again? = try handle?.grant(granting) { return true }
        granting = 0
        return false
    }

    var unread: Int { output.count + error.count }

    func addReader() -> Waiter<Void> {
        let waiter = Waiter<Void>()
        readers.append(waiter)
        return waiter
    }

    func removeReader(_ waiter: Waiter<Void>) { readers.removeAll { $0 === waiter } }

    func wakeReaders() {
        for reader in readers { reader.resume(with: .success(())) }
        readers.removeAll(keepingCapacity: true)
    }

    // MARK: Sending

    enum Sending {
        case progress
        case done  // nothing left
        case windowFull  // the peer takes no more now
        case again
    }

    /// Hands one packet to the library.
    func sendOne() throws(SSHError) -> Sending {
        guard let first = outgoing.first else { return .done }
        guard life == .open, handle != nil else { return .windowFull }
        guard let bytes = first.bytes else {
            if case .again? = try handle?.sendEnd() { return .again }
            finishFirst()
            return outgoing.isEmpty ? .done : .progress
        }
        guard handle?.canWrite == true else { return .windowFull }
        guard case .done(let count)? = try handle?.write(bytes[first.sent...]) else { return .again }
        first.sent += count
        if first.sent == bytes.count { finishFirst() }
        return outgoing.isEmpty ? .done : .progress
    }

    private func finishFirst() {
        let first = outgoing.removeFirst()
        first.isDone = true
        first.waiter.resume(with: .success(()))
    }

    func failWrites(_ error: SSHError) {
        for item in outgoing { item.waiter.resume(with: .failure(error)) }
        outgoing.removeAll()
    }

    // MARK: The end

    /// Begins or goes on with closing. True if the library has to be asked again.
    func continueClosing() -> Bool {
        guard let handle = handle.take() else { return false }
        self.handle = handle.closed()
        return self.handle != nil
    }

    /// The library has freed it, or the connection is gone.
    func finish() {
        handle = nil
        life = .over
        for closer in closers { closer.resume(with: .success(())) }
        closers.removeAll()
    }

    private func discardUnread() {
        output = ByteQueue()
        error = ByteQueue()
    }
}
