/// A file that is open in the machine. For one task at a time.
package struct SFTPFile: Sendable {
    fileprivate let client: SFTPClient
    fileprivate let number: Int

    package func attributes() async throws -> SFTPAttributes { try await client.attributes(ofFile: number) }

    package func setMode(_ mode: UInt32) async throws { try await client.setMode(mode, ofFile: number) }

    /// From here on ``read()`` gives the bytes from `start` to `end`.
    package func seek(reading start: UInt64, to end: UInt64) async {
        await client.seek(number, reading: start, to: end)
    }

    /// The next bytes, in order; `nil` at the end that was given or at the file's, whichever comes first.
    package func read() async throws -> ArraySlice<UInt8>? { try await client.read(number) }

    /// From here on ``write(_:)`` puts bytes there.
    package func seek(writing start: UInt64) async { await client.seek(number, writing: start) }

    /// Puts the bytes behind those before. Returns when there is room for more; an error may be one of earlier bytes.
    package func write(_ bytes: [UInt8]) async throws { try await client.write(bytes, number) }

    /// Returns when the machine has written all bytes.
    package func flush() async throws { try await client.flush(number) }

    /// Returns when all of it is on the disk, as far as the machine can say (`fsync@openssh.com`).
    package func synchronize() async throws { try await client.synchronize(number) }
}

/// What a client knows of a file. Touched by the client only.
final class OpenFile {
    struct Reading {
        let offset: UInt64
        let count: Int
        let pending: SFTPClient.Pending
    }

    let handle: [UInt8]
    let name: String  // for messages
    var readings: [Reading] = []  // in order of their offsets
    var readOffset: UInt64 = 0  // not asked for yet
    var readEnd: UInt64 = 0
    var outbox: [UInt8] = []  // less than a chunk
    var writeOffset: UInt64 = 0
    var writings: [SFTPClient.Pending] = []

    init(handle: [UInt8], name: String) {
        self.handle = handle
        self.name = name
    }
}

extension SFTPClient {
    package enum Access: Sendable {
        case read
        case write  // what exists
        case create(mode: UInt32)  // what does not exist

        fileprivate var flags: UInt32 {
            switch self {
            case .read: 0x01
            case .write: 0x02
            case .create: 0x02 | 0x08 | 0x20
            }
        }
    }

    /// Opens a file and lends it. It is closed behind `body`; where that throws, with the client.
    package nonisolated func withFile<Result>(
        _ path: [UInt8], _ access: Access, _ body: (SFTPFile) async throws -> Result
    ) async throws -> Result {
        let number = try await open(path, access)
        let result = try await body(SFTPFile(client: self, number: number))
        try await closeFile(number)
        return result
    }

    private func open(_ path: [UInt8], _ access: Access) async throws -> Int {
        let name = Self.shown(path)
        let handle = try await handle(SFTPKind.open, "open \(name)") {
            $0.string(path)
            $0.integer(access.flags)
            if case .create(let mode) = access {
                $0.integer(0x04)
                $0.integer(mode)
            } else {
                $0.integer(0)
            }
        }
        lastFile += 1
        files[lastFile] = OpenFile(handle: handle, name: name)
        return lastFile
    }

    private func closeFile(_ number: Int) async throws {
        guard let file = files.removeValue(forKey: number) else { return }
        try await close(file.handle, "close \(file.name)")
    }

    private func file(_ number: Int) -> OpenFile {
        guard let file = files[number] else { preconditionFailure("a file is used after it was closed") }
        return file
    }

    fileprivate func attributes(ofFile number: Int) async throws -> SFTPAttributes {
        let file = file(number)
        let what = "look at \(file.name)"
        var body = try await ask(SFTPKind.handleStatus, what) { $0.string(file.handle) }
            .body(of: SFTPKind.attributes, what)
        guard let attributes = SFTPAttributes(&body) else { throw nonsense() }
        return attributes
    }

    fileprivate func setMode(_ mode: UInt32, ofFile number: Int) async throws {
        let file = file(number)
        let what = "set the mode of \(file.name)"
        try await ask(SFTPKind.setHandleStatus, what) {
            $0.string(file.handle)
            $0.integer(0x04)
            $0.integer(mode & 0o7777)
        }.done(what)
    }

    fileprivate func synchronize(_ number: Int) async throws {
        let file = file(number)
        let what = "write \(file.name) to the disk"
        do {
            try await ask(SFTPKind.extended, what) {
                $0.string("fsync@openssh.com")
                $0.string(file.handle)
            }.done(what)
        } catch let error as SFTPError where error.code == .unsupported {}
    }

    // MARK: Reading

    fileprivate func seek(_ number: Int, reading start: UInt64, to end: UInt64) {
        let file = file(number)
        file.readings.removeAll()
        (file.readOffset, file.readEnd) = (start, max(start, end))
    }

    fileprivate func read(_ number: Int) async throws -> ArraySlice<UInt8>? {
        let file = file(number)
        while file.readings.count < Self.requestsAhead, file.readOffset < file.readEnd {
            let count = Int(min(UInt64(Self.chunkSize), file.readEnd - file.readOffset))
            let offset = file.readOffset
            file.readOffset += UInt64(count)
            file.readings.append(try await reading(file, offset, count))
        }
        guard !file.readings.isEmpty else { return nil }
        let first = file.readings.removeFirst()
        let reply = try await first.pending.reply()
        if reply.isEndOfFile {
            file.readOffset = file.readEnd
            file.readings.removeAll()
            return nil
        }
        var body = try reply.body(of: SFTPKind.data, first.pending.what)
        guard let bytes = body.slice(), !bytes.isEmpty, bytes.count <= first.count else { throw nonsense() }
        if bytes.count < first.count {
            // The rest comes before what was asked for behind it.
            let rest = try await reading(file, first.offset + UInt64(bytes.count), first.count - bytes.count)
            file.readings.insert(rest, at: 0)
        }
        return bytes
    }

    private func reading(_ file: OpenFile, _ offset: UInt64, _ count: Int) async throws -> OpenFile.Reading {
        let pending = try await send(SFTPKind.read, "read \(file.name)") {
            $0.string(file.handle)
            $0.long(offset)
            $0.integer(UInt32(count))
        }
        return OpenFile.Reading(offset: offset, count: count, pending: pending)
    }

    // MARK: Writing

    fileprivate func seek(_ number: Int, writing start: UInt64) { file(number).writeOffset = start }

    fileprivate func write(_ bytes: [UInt8], _ number: Int) async throws {
        let file = file(number)
        var rest = bytes[...]
        while file.outbox.count + rest.count >= Self.chunkSize {
            let part = rest.prefix(Self.chunkSize - file.outbox.count)
            rest = rest.dropFirst(part.count)
            let chunk = file.outbox.isEmpty ? part : file.outbox[...] + part
            file.outbox.removeAll(keepingCapacity: true)
            try await write(chunk, to: file)
        }
        file.outbox += rest
    }

    private func write(_ chunk: ArraySlice<UInt8>, to file: OpenFile) async throws {
        let offset = file.writeOffset
        file.writeOffset += UInt64(chunk.count)
        if file.writings.count >= Self.requestsAhead { try await file.writings.removeFirst().done() }
        file.writings.append(
            try await send(SFTPKind.write, "write \(file.name)", reserving: chunk.count + 64) {
                $0.string(file.handle)
                $0.long(offset)
                $0.string(chunk)
            })
    }

    fileprivate func flush(_ number: Int) async throws {
        let file = file(number)
        if !file.outbox.isEmpty {
            let chunk = file.outbox[...]
            file.outbox.removeAll()
            try await write(chunk, to: file)
        }
        while !file.writings.isEmpty { try await file.writings.removeFirst().done() }
    }
}
