import EventLoop

/// SFTP version 3 (draft-ietf-secsh-filexfer-02, with OpenSSH's extensions) over a channel of a session.
///
/// Not libssh2's: `libssh2_sftp_init` 1.10 waits in a loop on our loop's thread for as long as a server that refuses the
/// subsystem likes, it has neither `posix-rename@openssh.com` nor `fsync@openssh.com` and one call at a time under way.
///
/// Requests are numbered and answered in any order, so any number of calls may be under way at once: a child of
/// ``SSHSession/withSFTP(_:)`` receives and hands each answer to its ``Waiter``. What transfers bytes keeps
/// ``requestsAhead`` requests of ``chunkSize`` unanswered and no more; that, and the channel's window, is all the memory
/// a file of any size takes. A call that is cancelled leaves its answer to be dropped. It lives on the session's loop:
/// between a packet that has come and the call that waits for it lies no other thread.
///
/// Paths are bytes, for so they are in the machine.
package actor SFTPClient {
    /// OpenSSH takes packets of 256 KiB, others 32 KiB and a little more.
    package static let chunkSize = 32_768
    static let requestsAhead = 16
    static let longestPacket = 256 * 1024 + 1024

    nonisolated let channel: SSHChannel
    package nonisolated var unownedExecutor: UnownedSerialExecutor { channel.session.unownedExecutor }

    private var inbox = PacketBuffer()
    private var waiting: [UInt32: Waiter<SFTPReply>] = [:]
    private var lastRequest: UInt32 = 0
    private var ending: (any Error)?  // nothing is received any more
    var files: [Int: OpenFile] = [:]
    var lastFile = 0

    init(channel: SSHChannel) { self.channel = channel }

    func begin() async throws {
        var hello = WireWriter()
        hello.string {
            $0.byte(SFTPKind.initialize)
            $0.integer(3)
        }
        try await channel.write(hello.bytes)
        var packet = try await packet()
        guard packet.byte() == SFTPKind.version, let version = packet.integer(), version >= 3 else { throw nonsense() }
    }

    /// Hands out answers until the server ends or the task is cancelled.
    func receive() async {
        do {
            while true {
                var packet = try await packet()
                guard let kind = packet.byte(), let number = packet.integer() else { throw nonsense() }
                waiting.removeValue(forKey: number)?.resume(with: .success(SFTPReply(kind: kind, body: packet)))
            }
        } catch {
            ending = error
            for waiter in waiting.values { waiter.resume(with: .failure(error)) }
            waiting.removeAll()
        }
    }

    private func packet() async throws -> WireReader {
        while true {
            if let packet = try inbox.next() { return packet }
            guard let bytes = try await channel.read(upTo: 256 * 1024) else {
                throw SSHError(.channelClosed, "the SFTP server ended")
            }
            inbox.append(bytes)
        }
    }

    // MARK: Requests

    /// A request that was sent.
    struct Pending: Sendable {
        let what: String
        let waiter: Waiter<SFTPReply>

        func reply() async throws -> SFTPReply { try await waiter.value() }

        /// Throws what the server says unless it says that it is done.
        func done() async throws { try await reply().done(what) }
    }

    /// Sends a request, and returns once the connection has it. `what` is what was to be done, for messages.
    func send(
        _ kind: UInt8, _ what: String, reserving capacity: Int = 128, _ write: (inout WireWriter) -> Void
    ) async throws -> Pending {
        if let ending { throw ending }
        lastRequest &+= 1
        let number = lastRequest
        var packet = WireWriter()
        packet.string(reserving: capacity) {
            $0.byte(kind)
            $0.integer(number)
            write(&$0)
        }
        let waiter = Waiter<SFTPReply>()
        waiting[number] = waiter
        do {
            try await channel.write(packet.bytes)
        } catch {
            waiting[number] = nil
            throw error
        }
        return Pending(what: what, waiter: waiter)
    }

    func ask(_ kind: UInt8, _ what: String, _ write: (inout WireWriter) -> Void) async throws -> SFTPReply {
        try await send(kind, what, write).reply()
    }

    nonisolated func nonsense() -> SSHError { SSHError(.protocol, "the SFTP server's answer makes no sense") }
}

extension SSHSession {
    /// Starts the machine's SFTP server and lends a client of it. Leaving `body` ends it, and with it all it has open.
    /// Throws `channelRefused` or `channelClosed` where there is no server, what the connection throws, and what `body`
    /// throws.
    package nonisolated func withSFTP<Result>(_ body: (SFTPClient) async throws -> Result) async throws -> Result {
        let channel = try await openSession()
        do {
            try await start("subsystem", "sftp", on: channel)
            let client = SFTPClient(channel: channel)
            try await client.begin()
            // Not a child: a caller that is cancelled may have things to put away before it leaves.
            let receiving = Task { await client.receive() }
            let result: Swift.Result<Result, any Error>
            do { result = .success(try await body(client)) } catch { result = .failure(error) }
            receiving.cancel()
            await receiving.value
            channel.abandon()  // nobody waits for the server's own end
            return try result.get()
        } catch {
            channel.abandon()
            throw error
        }
    }
}

/// The kinds of packets.
enum SFTPKind {
    static let initialize: UInt8 = 1
    static let version: UInt8 = 2
    static let open: UInt8 = 3
    static let close: UInt8 = 4
    static let read: UInt8 = 5
    static let write: UInt8 = 6
    static let linkStatus: UInt8 = 7
    static let handleStatus: UInt8 = 8
    static let setStatus: UInt8 = 9
    static let setHandleStatus: UInt8 = 10
    static let openDirectory: UInt8 = 11
    static let readDirectory: UInt8 = 12
    static let remove: UInt8 = 13
    static let makeDirectory: UInt8 = 14
    static let removeDirectory: UInt8 = 15
    static let realPath: UInt8 = 16
    static let fileStatus: UInt8 = 17
    static let rename: UInt8 = 18
    static let readLink: UInt8 = 19
    static let symbolicLink: UInt8 = 20
    static let status: UInt8 = 101
    static let handle: UInt8 = 102
    static let data: UInt8 = 103
    static let name: UInt8 = 104
    static let attributes: UInt8 = 105
    static let extended: UInt8 = 200
    static let extendedReply: UInt8 = 201
}

/// An answer, past its kind and number.
struct SFTPReply: Sendable {
    let kind: UInt8
    let body: WireReader

    private static let success: UInt32 = 0
    private static let endOfFile: UInt32 = 1

    var isEndOfFile: Bool {
        var reader = body
        return kind == SFTPKind.status && reader.integer() == Self.endOfFile
    }

    func done(_ what: String) throws {
        var reader = body
        guard kind == SFTPKind.status, reader.integer() == Self.success else { throw failure(what) }
    }

    /// The body of an answer of that kind. Throws what the server says instead.
    func body(of kind: UInt8, _ what: String) throws -> WireReader {
        guard self.kind == kind else { throw failure(what) }
        return body
    }

    func failure(_ what: String) -> any Error {
        var reader = body
        guard kind == SFTPKind.status, let code = reader.integer() else {
            return SSHError(.protocol, "SFTP answer \(kind) to: \(what)")
        }
        let reason = reader.string().map { String(decoding: $0, as: UTF8.self) } ?? ""
        return SFTPError(
            SFTPError.Code(rawValue: code) ?? .failed, "could not \(what): \(reason) (SFTP status \(code))")
    }
}

/// Bytes that have come, cut into packets.
private struct PacketBuffer {
    private var bytes: [UInt8] = []
    private var head = 0  // bytes[head...] are in no packet yet

    mutating func append(_ more: [UInt8]) {
        bytes = head == bytes.count ? more : bytes[head...] + more
        head = 0
    }

    /// The next whole packet, past its length. Throws if none of that length may come.
    mutating func next() throws(SSHError) -> WireReader? {
        var reader = WireReader(bytes[head...])
        guard let length = reader.integer() else { return nil }
        guard (5...SFTPClient.longestPacket).contains(Int(length)) else {
            throw SSHError(.protocol, "an SFTP packet of \(length) bytes")
        }
        let end = head + 4 + Int(length)
        guard bytes.count >= end else { return nil }
        defer { head = end }
        return WireReader(bytes[(head + 4)..<end])
    }
}
