extension SFTPClient {
    /// The path without links, `.` and `..`; the last part need not exist.
    package func realPath(_ path: [UInt8]) async throws -> [UInt8] {
        try await onlyName(SFTPKind.realPath, "resolve", path)
    }

    package func readLink(_ path: [UInt8]) async throws -> [UInt8] {
        try await onlyName(SFTPKind.readLink, "read the link", path)
    }

    private func onlyName(_ kind: UInt8, _ what: String, _ path: [UInt8]) async throws -> [UInt8] {
        let what = "\(what) \(Self.shown(path))"
        var body = try await ask(kind, what) { $0.string(path) }.body(of: SFTPKind.name, what)
        guard body.integer() == 1, let name = body.string() else { throw nonsense() }
        return name
    }

    /// What is at the end of links.
    package func attributes(_ path: [UInt8]) async throws -> SFTPAttributes {
        try await attributes(SFTPKind.fileStatus, path)
    }

    /// Of the link itself, where it is one.
    package func linkAttributes(_ path: [UInt8]) async throws -> SFTPAttributes {
        try await attributes(SFTPKind.linkStatus, path)
    }

    private func attributes(_ kind: UInt8, _ path: [UInt8]) async throws -> SFTPAttributes {
        let what = "look at \(Self.shown(path))"
        var body = try await ask(kind, what) { $0.string(path) }.body(of: SFTPKind.attributes, what)
        guard let attributes = SFTPAttributes(&body) else { throw nonsense() }
        return attributes
    }

    package func setMode(_ mode: UInt32, of path: [UInt8]) async throws {
        let what = "set the mode of \(Self.shown(path))"
        try await ask(SFTPKind.setStatus, what) {
            $0.string(path)
            $0.integer(0x04)
            $0.integer(mode & 0o7777)
        }.done(what)
    }

    package func makeDirectory(_ path: [UInt8], mode: UInt32 = 0o755) async throws {
        let what = "make the directory \(Self.shown(path))"
        try await ask(SFTPKind.makeDirectory, what) {
            $0.string(path)
            $0.integer(0x04)
            $0.integer(mode)
        }.done(what)
    }

    /// An empty one.
    package func removeDirectory(_ path: [UInt8]) async throws {
        let what = "remove the directory \(Self.shown(path))"
        try await ask(SFTPKind.removeDirectory, what) { $0.string(path) }.done(what)
    }

    package func remove(_ path: [UInt8]) async throws {
        let what = "remove \(Self.shown(path))"
        try await ask(SFTPKind.remove, what) { $0.string(path) }.done(what)
    }

    /// Removes many, with no more wait than for one. The first that fails is thrown once all were tried.
    package func remove(_ paths: [[UInt8]]) async throws {
        var failure: (any Error)?
        var pending: ArraySlice<Pending> = []
        for path in paths.map(Optional.some) + Array(repeating: nil, count: Self.requestsAhead) {
            if pending.count >= Self.requestsAhead || path == nil, let first = pending.popFirst() {
                do { try await first.done() } catch { failure = failure ?? error }
            }
            guard let path else { continue }
            pending.append(try await send(SFTPKind.remove, "remove \(Self.shown(path))") { $0.string(path) })
        }
        if let failure { throw failure }
    }

    /// Renames in one step. With `replacing` what has the new name is replaced (`posix-rename@openssh.com`); without, a
    /// name that is taken is refused as `failed`.
    package func rename(_ old: [UInt8], to new: [UInt8], replacing: Bool) async throws {
        let what = "rename \(Self.shown(old)) to \(Self.shown(new))"
        try await ask(replacing ? SFTPKind.extended : SFTPKind.rename, what) {
            if replacing { $0.string("posix-rename@openssh.com") }
            $0.string(old)
            $0.string(new)
        }.done(what)
    }

    /// Bytes that are left for the machine's user where `path` is.
    package func freeSpace(_ path: [UInt8]) async throws -> UInt64 {
        let what = "look for room at \(Self.shown(path))"
        var body = try await ask(SFTPKind.extended, what) {
            $0.string("statvfs@openssh.com")
            $0.string(path)
        }.body(of: SFTPKind.extendedReply, what)
        // f_bsize, f_frsize, f_blocks, f_bfree, f_bavail
        guard body.long() != nil, let size = body.long(), body.long() != nil, body.long() != nil,
            let available = body.long()
        else { throw nonsense() }
        return size.multipliedReportingOverflow(by: available).partialValue
    }

    /// Calls `body` with what is in a directory, some names at a time and in no order, until there are no more or it
    /// returns false. Without `.` and `..`. While `body` is at work nothing more is asked for.
    package nonisolated func entries(
        of path: [UInt8], _ body: ([SFTPEntry]) async throws -> Bool
    ) async throws {
        let what = "list \(Self.shown(path))"
        let handle = try await handle(SFTPKind.openDirectory, what) { $0.string(path) }
        while true {
            let reply = try await ask(SFTPKind.readDirectory, what) { $0.string(handle) }
            if reply.isEndOfFile { break }
            guard try await body(try Self.names(try reply.body(of: SFTPKind.name, what))) else { break }
        }
        try await close(handle, what)
    }

    private static func names(_ body: WireReader) throws -> [SFTPEntry] {
        var body = body
        var entries: [SFTPEntry] = []
        for _ in 0..<(body.integer() ?? 0) {
            // The second is a line as of `ls -l`.
            guard let name = body.string(), body.slice() != nil, let attributes = SFTPAttributes(&body) else {
                throw SSHError(.protocol, "the SFTP server's list of names is cut")
            }
            if name != [0x2e], name != [0x2e, 0x2e] { entries.append(SFTPEntry(name: name, attributes: attributes)) }
        }
        return entries
    }

    func handle(_ kind: UInt8, _ what: String, _ write: (inout WireWriter) -> Void) async throws -> [UInt8] {
        var body = try await ask(kind, what, write).body(of: SFTPKind.handle, what)
        guard let handle = body.string() else { throw nonsense() }
        return handle
    }

    func close(_ handle: [UInt8], _ what: String) async throws {
        try await ask(SFTPKind.close, what) { $0.string(handle) }.done(what)
    }

    /// For messages.
    static func shown(_ path: [UInt8]) -> String { "'\(String(decoding: path.prefix(512), as: UTF8.self))'" }
}
