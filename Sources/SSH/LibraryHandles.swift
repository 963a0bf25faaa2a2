import CLibSSH2

/// What a call into the library answered. An error is thrown.
enum Attempt<Value: ~Copyable>: ~Copyable {
    case done(Value)
    case again  // it wants a packet that has not come: call again when something was received
}

extension Attempt: Copyable where Value: Copyable {}

/// Owns one `LIBSSH2_SESSION *`, its socket and its wire (see `shim.h`). A class, for its channels hold it: nothing is
/// freed before them. Not `Sendable`: "you should not share the same handle between multiple threads
/// simultaneously" (libssh2 manual), so it lives in an actor whose executor is the loop's thread.
final class SessionHandle {
    fileprivate let raw: OpaquePointer
    private let wire: UnsafeMutablePointer<cssh2_wire>
    let descriptor: Int32
    /// For one read from the library; whoever fills it empties it before anything else runs.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)

    private static let library: Int32 = libssh2_init(0)  // once, before the first session

    /// Takes over the descriptor, a connected socket that does not block.
    init(adopting descriptor: Int32) throws(SSHError) {
        guard Self.library == 0, let wire = cssh2_wire_new(descriptor) else {
            close(descriptor)
            throw SSHError(.connectFailed, "no memory for an SSH session")
        }
        guard let raw = cssh2_session_new(wire) else {
            cssh2_wire_free(wire)
            close(descriptor)
            throw SSHError(.connectFailed, "no memory for an SSH session")
        }
        self.raw = raw
        self.wire = wire
        self.descriptor = descriptor
    }

    deinit {
        cut()  // so that freeing, which would send and wait, ends at once
        libssh2_session_free(raw)
        close(descriptor)
        cssh2_wire_free(wire)
        scratch.deallocate()
    }

    // MARK: The wire

    var received: UInt64 { wire.pointee.received }
    var unsent: Int { cssh2_wire_unsent(wire) }

    /// Lets `body` receive at most `bytes` from the socket. Outside of this the library finds nothing to receive.
    func receiving<Value>(atMost bytes: Int, _ body: () throws(SSHError) -> Value) throws(SSHError) -> Value {
        wire.pointee.allowance = bytes
        defer { wire.pointee.allowance = 0 }
        return try body()
    }

    /// Sends what the socket takes; false if something is left, to be sent when it is writable.
    func flush() throws(SSHError) -> Bool {
        let code = cssh2_wire_flush(wire)
        switch code {
        case 0: return true
        case EAGAIN: return false
        default: throw SSHError(.connectionLost, "send: \(String(cString: strerror(code)))")
        }
    }

    /// From here on nothing is received or sent, and no call answers ``Attempt/again`` for want of a packet.
    func cut() { wire.pointee.is_cut = true }

    // MARK: Connecting

    /// `algorithm` is that of the host key that is expected.
    func preferMethods(hostKey algorithm: String) {
        // OpenSSH computes on curve25519 by itself, in portable C, and on P-256 by OpenSSL's assembly.
        let exchanges = "ecdh-sha2-nistp256,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp384"
        let groups = "ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group14-sha256"
        libssh2_session_method_pref(raw, LIBSSH2_METHOD_KEX, "\(exchanges),\(groups)")
        // The others stay allowed, so that a machine that has another key is told by its fingerprint.
        let all = "ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,ssh-rsa"
        libssh2_session_method_pref(raw, LIBSSH2_METHOD_HOSTKEY, "\(algorithm),\(all)")
    }

    func handshake() throws(SSHError) -> Attempt<Void> {
        try attempt(libssh2_session_handshake(raw, descriptor), .connectFailed, "SSH handshake")
    }

    /// The public key the server proved to own in the handshake.
    var hostKey: [UInt8] {
        var length = 0
        var type: Int32 = 0
        guard let key = libssh2_session_hostkey(raw, &length, &type) else { return [] }
        return key.withMemoryRebound(to: UInt8.self, capacity: length) {
            [UInt8](UnsafeBufferPointer(start: $0, count: length))
        }
    }

    /// The server's first line: protocol, program, and what its operator lets it add.
    var greeting: String { libssh2_session_banner_get(raw).map { String(cString: $0) } ?? "" }

    func authenticate(user: String, privateKey: String) throws(SSHError) -> Attempt<Void> {
        let result = libssh2_userauth_publickey_frommemory(
            raw, user, user.utf8.count, nil, 0, privateKey, privateKey.utf8.count, nil)
        return try attempt(result, .authenticationFailed, "login as '\(user)'")
    }

    /// Says good-bye; what happens to it does not matter any more.
    func disconnect() {
        libssh2_session_disconnect_ex(raw, SSH_DISCONNECT_BY_APPLICATION, "", "")
        cssh2_wire_flush(wire)
    }

    /// Asks for an answer that libssh2 1.10 then keeps for ever (a hundred bytes), so only where nothing else can ask.
    func sendKeepalive() {
        var next: Int32 = 0
        libssh2_keepalive_config(raw, 1, 2)
        libssh2_keepalive_send(raw, &next)
    }

    // MARK: Channels

    /// Begins or goes on with opening a channel. libssh2 keeps one opening in the session: no other before it is done.
    ///
    /// The window is opened afterwards (``ChannelHandle/grant(_:)``): with an initial window of nothing the library
    /// never opens it by itself, and it is opened only by what was read.
    func open(_ type: String, _ message: [UInt8]) throws(SSHError) -> Attempt<ChannelHandle> {
        let opened = message.withUnsafeBytes { message in
            libssh2_channel_open_ex(
                raw, type, UInt32(type.utf8.count), 0, 32_768, message.bindMemory(to: CChar.self).baseAddress,
                UInt32(message.count))
        }
        if let opened { return .done(ChannelHandle(adopting: opened, of: self)) }
        let code = libssh2_session_last_errno(raw)
        if code == LIBSSH2_ERROR_EAGAIN { return .again }
        throw failure(code, "channel")
    }

    fileprivate func attempt(_ result: Int32, _ code: SSHError.Code, _ what: String) throws(SSHError) -> Attempt<Void> {
        if result == LIBSSH2_ERROR_EAGAIN { return .again }
        if result < 0 { throw failure(result, what, otherwise: code) }
        return .done(())
    }

    /// The error of the call that answered `result`, which must be the latest.
    fileprivate func failure(
        _ result: Int32, _ what: String, otherwise code: SSHError.Code = .connectionLost
    ) -> SSHError {
        var text: UnsafeMutablePointer<CChar>?
        libssh2_session_last_error(raw, &text, nil, 0)
        let reason = "\(what): \(text.map { String(cString: $0) } ?? "") (libssh2 \(result))"
        switch result {
        case LIBSSH2_ERROR_CHANNEL_FAILURE, LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED:
            return SSHError(.channelRefused, reason)
        case LIBSSH2_ERROR_TIMEOUT:
            return SSHError(.timeout, reason)
        case LIBSSH2_ERROR_CHANNEL_CLOSED, LIBSSH2_ERROR_CHANNEL_EOF_SENT:
            return SSHError(.channelClosed, reason)
        case LIBSSH2_ERROR_SOCKET_RECV, LIBSSH2_ERROR_SOCKET_SEND, LIBSSH2_ERROR_SOCKET_DISCONNECT:
            return SSHError(code == .connectFailed ? code : .connectionLost, reason)
        default:
            return SSHError(code, reason)
        }
    }
}

/// Owns one `LIBSSH2_CHANNEL *`, and holds its session.
struct ChannelHandle: ~Copyable {
    enum Stream: Int32 {
        case output = 0
        case error = 1
    }

    enum Reading {
        case bytes(Int)
        case again
        case end
    }

    private let raw: OpaquePointer
    private let session: SessionHandle
    private var isFreed = false

    fileprivate init(adopting raw: OpaquePointer, of session: SessionHandle) {
        self.raw = raw
        self.session = session
    }

    deinit {
        // The last resort: if this answers "again", the session frees the channel with itself.
        if !isFreed { libssh2_channel_free(raw) }
    }

    /// Reads what has arrived for the session's channels, this one or others, into the library.
    func receive() throws(SSHError) {
        var none: CChar = 0
        let result = libssh2_channel_read_ex(raw, 0, &none, 0)  // it looks at the socket before it looks for bytes
        if result < 0, result != Int(LIBSSH2_ERROR_EAGAIN) { throw session.failure(Int32(result), "connection") }
    }

    /// Reads into the session's scratch what the library holds of one stream. Never opens the window.
    func read(_ stream: Stream) -> Reading {
        // Not more than the window, or the library would open it by what is missing. No window: nothing can be here.
        let limit = min(session.scratch.count, Int(libssh2_channel_window_read_ex(raw, nil, nil)))
        let result = libssh2_channel_read_ex(
            raw, stream.rawValue, session.scratch.assumingMemoryBound(to: CChar.self).baseAddress, limit)
        if result > 0 { return .bytes(result) }
        return result == 0 && libssh2_channel_eof(raw) == 1 ? .end : .again
    }

    /// Whether the peer has closed the channel. Ask after its end only.
    var isClosedByPeer: Bool { libssh2_channel_wait_closed(raw) == 0 }

    /// Lets the peer send `bytes` more. Repeat with the same number.
    func grant(_ bytes: Int) throws(SSHError) -> Attempt<Void> {
        try session.attempt(
            libssh2_channel_receive_window_adjust2(raw, UInt(bytes), 1, nil), .connectionLost, "window")
    }

    /// How much the peer takes now.
    var canWrite: Bool { libssh2_channel_window_write_ex(raw, nil) > 0 }

    /// Writes the beginning of `bytes`, at most one packet of 32 KiB, and says how much. Repeat with the same bytes.
    func write(_ bytes: ArraySlice<UInt8>) throws(SSHError) -> Attempt<Int> {
        let result = bytes.withUnsafeBytes { bytes in
            libssh2_channel_write_ex(raw, 0, bytes.bindMemory(to: CChar.self).baseAddress, bytes.count)
        }
        if result == Int(LIBSSH2_ERROR_EAGAIN) || result == 0 { return .again }
        if result < 0 { throw session.failure(Int32(result), "write") }
        return .done(result)
    }

    func sendEnd() throws(SSHError) -> Attempt<Void> {
        try session.attempt(libssh2_channel_send_eof(raw), .connectionLost, "end of input")
    }

    /// Starts a command (`exec`) or a subsystem. Repeat until done: the answer is kept in the session otherwise.
    func start(_ request: String, _ argument: String) throws(SSHError) -> Attempt<Void> {
        let result = libssh2_channel_process_startup(
            raw, request, UInt32(request.utf8.count), argument, UInt32(argument.utf8.count))
        return try session.attempt(result, .connectionLost, request)
    }

    /// How the command ended; of use once the peer has closed the channel.
    func ending() -> (status: Int32, signal: String?) {
        var text: UnsafeMutablePointer<CChar>?
        libssh2_channel_get_exit_signal(raw, &text, nil, nil, nil, nil, nil)
        defer { if let text { libssh2_free(session.raw, text) } }
        return (libssh2_channel_get_exit_status(raw), text.map { "SIG" + String(cString: $0) })
    }

    /// Sends end and close, and frees the channel once the peer has closed it too. Until then it gives itself back.
    consuming func closed() -> ChannelHandle? {
        if libssh2_channel_free(raw) == LIBSSH2_ERROR_EAGAIN { return self }
        isFreed = true
        return nil
    }
}
