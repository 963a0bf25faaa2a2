import EventLoop

extension SSHSession {
    /// Writes a file in the machine over SFTP, with these permission bits (`0o755`). Readers see the old file or the
    /// new one and nothing between, and a program that runs from the old one goes on. Throws `uploadFailed` with the
    /// server's reason, or `timeout`.
    package func upload(
        _ bytes: [UInt8], to path: String, mode: Int32, deadline: Duration = .seconds(60)
    ) async throws {
        do {
            try await withDeadline(deadline, "upload") { try await self.write(bytes, to: path, mode: mode) }
        } catch is DeadlineExceeded {
            throw SSHError(.timeout, "\(endpoint): '\(path)' not uploaded within \(deadline)")
        }
    }

    private func write(_ bytes: [UInt8], to path: String, mode: Int32) async throws {
        let channel = try await openSession()
        do {
            try await start("subsystem", "sftp", on: channel)
            var transfer = SFTPTransfer(channel: channel)
            try await transfer.begin()
            let part = "\(path).\(UInt64.random(in: .min ... .max)).part"
            do {
                try await transfer.create(part, mode: UInt32(bitPattern: mode) & 0o7777, bytes)
                try await transfer.rename(part, to: path)
            } catch {
                let removal = Task { [transfer] in  // also when we are cancelled; awaited right here
                    try await withDeadline(.seconds(2), "removal") {
                        var transfer = transfer
                        try await transfer.remove(part)
                    }
                }
                _ = await removal.result
                throw error
            }
            await channel.close()
        } catch {
            channel.abandon()
            throw error
        }
    }
}

/// The part of SFTP version 3 (draft-ietf-secsh-filexfer-02) that puts a file in its place.
///
/// Not libssh2's: when the server refuses the subsystem, `libssh2_sftp_init` 1.10 waits in a loop for the channel to
/// be closed, on our loop's thread, for as long as the server likes; and it can not rename over an existing file.
private struct SFTPTransfer: Sendable {
    private enum Kind {
        static let initialize: UInt8 = 1
        static let version: UInt8 = 2
        static let open: UInt8 = 3
        static let close: UInt8 = 4
        static let write: UInt8 = 6
        static let setStatus: UInt8 = 10
        static let remove: UInt8 = 13
        static let status: UInt8 = 101
        static let handle: UInt8 = 102
        static let extended: UInt8 = 200
    }

    private static let chunkSize = 32_000  // a packet of OpenSSH holds 32 KiB
    private static let mostUnanswered = 32  // writes
    private static let longestReply = 65_536

    let channel: SSHChannel
    private var inbox: [UInt8] = []
    private var lastRequest: UInt32 = 0

    init(channel: SSHChannel) { self.channel = channel }

    mutating func begin() async throws {
        var hello = WireWriter()
        hello.byte(Kind.initialize)
        hello.integer(3)
        try await send(hello)
        guard try await receive().kind == Kind.version else { throw nonsense() }
    }

    mutating func create(_ path: String, mode: UInt32, _ bytes: [UInt8]) async throws {
        let handle = try await open(path, mode: mode)
        var unanswered = 0
        for offset in stride(from: 0, to: bytes.count, by: Self.chunkSize) {
            var request = request(Kind.write)
            request.string(handle)
            request.long(UInt64(offset))
            request.string(bytes[offset..<min(offset + Self.chunkSize, bytes.count)])
            try await send(request)
            unanswered += 1
            if unanswered == Self.mostUnanswered {
                try await expectSuccess("write '\(path)'")
                unanswered -= 1
            }
        }
        for _ in 0..<unanswered { try await expectSuccess("write '\(path)'") }

        // The mode given at open is masked by the server's umask.
        var status = request(Kind.setStatus)
        status.string(handle)
        status.integer(4)
        status.integer(mode)
        try await send(status)
        try await expectSuccess("set the mode of '\(path)'")

        var close = request(Kind.close)
        close.string(handle)
        try await send(close)
        try await expectSuccess("close '\(path)'")
    }

    mutating func rename(_ old: String, to new: String) async throws {
        var request = request(Kind.extended)
        request.string("posix-rename@openssh.com")
        request.string(old)
        request.string(new)
        try await send(request)
        try await expectSuccess("rename '\(old)' to '\(new)'")
    }

    mutating func remove(_ path: String) async throws {
        var request = request(Kind.remove)
        request.string(path)
        try await send(request)
        // Answers to writes may come before this one's.
        while try await receive().request != lastRequest {}
    }

    private mutating func open(_ path: String, mode: UInt32) async throws -> [UInt8] {
        var request = request(Kind.open)
        request.string(path)
        request.integer(0x02 | 0x08 | 0x20)  // write, create, it must be new
        request.integer(4)  // attributes: the mode
        request.integer(mode)
        try await send(request)
        let reply = try await receive()
        guard reply.kind == Kind.handle else { throw reply.failure("create '\(path)'") }
        var body = reply.body
        guard let handle = body.string() else { throw nonsense() }
        return handle
    }

    // MARK: Packets

    private struct Reply {
        let kind: UInt8
        let request: UInt32
        let body: WireReader  // past kind and request

        func failure(_ what: String) -> SSHError {
            var reader = body
            guard kind == Kind.status, let code = reader.integer() else {
                return SSHError(.protocol, "SFTP reply \(kind) to: \(what)")
            }
            let reason = reader.string().map { String(decoding: $0, as: UTF8.self) } ?? ""
            return SSHError(.uploadFailed, "could not \(what): \(reason) (SFTP status \(code))")
        }
    }

    private mutating func request(_ kind: UInt8) -> WireWriter {
        lastRequest += 1
        var request = WireWriter()
        request.byte(kind)
        request.integer(lastRequest)
        return request
    }

    private func send(_ request: WireWriter) async throws {
        var packet = WireWriter()
        packet.string(request.bytes)
        try await channel.write(packet.bytes)
    }

    private mutating func expectSuccess(_ what: String) async throws {
        let reply = try await receive()
        var body = reply.body
        guard reply.kind == Kind.status, body.integer() == 0 else { throw reply.failure(what) }
    }

    private mutating func receive() async throws -> Reply {
        while true {
            var reader = WireReader(inbox)
            if let length = reader.integer() {
                guard (5...Self.longestReply).contains(Int(length)) else { throw nonsense() }
                if inbox.count >= 4 + Int(length) {
                    reader = WireReader(Array(inbox[4..<(4 + Int(length))]))
                    inbox.removeFirst(4 + Int(length))
                    guard let kind = reader.byte(), let request = reader.integer() else { throw nonsense() }
                    return Reply(kind: kind, request: request, body: reader)
                }
            }
            guard let bytes = try await channel.read() else {
                throw SSHError(.channelClosed, "the SFTP server ended")
            }
            inbox += bytes
        }
    }

    private func nonsense() -> SSHError { SSHError(.protocol, "the SFTP server's answer makes no sense") }
}
