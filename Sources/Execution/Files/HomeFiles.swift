import Fleet
package import SSH

/// The files below the home of a VM's programs.
///
/// SSH logs in as the user that programs are, at every provider, so nothing here can be reached that a program of the
/// same VM could not reach. Beyond that, what leads out of the home is refused (`path_outside_home`): `..` and absolute
/// paths by ``HomePath``, links by asking the machine where a path ends (`realpath`) before anything is done there, and
/// then working with that path. Between the asking and the doing a program may put a link in its place: it can so make
/// its owner's request read or write what it can read and write itself, and nothing else. SFTP has no `openat`, and a
/// chroot wants root in the machine.
///
/// What is written is whole or not there: bytes go to a file in ``uploads``, which then takes its name in one step.
package struct HomeFiles: Sendable {
    let client: SFTPClient
    let home: [UInt8]  // without links

    /// Where files are until they are whole. In the home, for a file takes its name in one step within a file system only.
    static let uploads = Array(".martlet-uploads".utf8)

    init(_ client: SFTPClient) async throws {
        self.client = client
        home = try await client.realPath([UInt8(ascii: ".")])
    }

    func absolute(_ path: HomePath) -> [UInt8] { path.parts.reduce(home) { Self.join($0, $1) } }

    static func join(_ directory: [UInt8], _ name: [UInt8]) -> [UInt8] {
        directory + (directory.last == UInt8(ascii: "/") ? [] : [UInt8(ascii: "/")]) + name
    }

    /// Where the path ends when all links are followed; its last part need not exist. Throws `path_outside_home`.
    func resolved(_ path: HomePath) async throws -> [UInt8] {
        let end = try await translating(path) { try await client.realPath(absolute(path)) }
        guard end == home || end.starts(with: Self.join(home, [])) else {
            throw ServiceError(
                .pathOutsideHome, "'\(path)' leads out of the programs' home by a link.",
                hint: "Only what is in the home can be reached here; 'martlet run' reaches the rest.")
        }
        return end
    }

    /// Where the name itself is, be it a link or nothing yet. The home itself has none: throws `invalid_request`.
    func place(_ path: HomePath) async throws -> [UInt8] {
        guard !path.isHome else {
            throw ServiceError(
                .invalidRequest, "This cannot be done to the home itself.", hint: "Name something that is in it.")
        }
        return Self.join(try await resolved(path.parent), path.name)
    }

    // MARK: Looking

    /// Of the name itself: of a link, not of what it leads to.
    package func info(_ path: HomePath) async throws -> FileInfo {
        let place = path.isHome ? home : try await place(path)
        return try await translating(path) {
            var info = FileInfo(path: path, attributes: try await client.linkAttributes(place))
            if info.attributes.kind == .link { info.target = try await client.readLink(place) }
            return info
        }
    }

    /// What the path leads to; `nil` if it leads to nothing.
    func found(_ path: HomePath, at place: [UInt8]) async throws -> FileInfo? {
        do {
            return try await translating(path) { FileInfo(path: path, attributes: try await client.attributes(place)) }
        } catch let error as ServiceError where error.code == .fileNotFound {
            return nil
        }
    }

    /// What is in a directory, in the order of the names' bytes, from the one behind `after`: at most `limit`, and
    /// whether there is more. The whole directory is read for it, and no more than a page of it kept.
    package func list(
        _ path: HomePath, after: [UInt8]?, limit: Int
    ) async throws -> (entries: [FileInfo], isCut: Bool) {
        let place = try await directory(path)
        var first: [SFTPEntry] = []  // sorted, one more than the page
        try await translating(path) {
            try await client.entries(of: place) { entries in
                for entry in entries where after.map({ $0.lexicographicallyPrecedes(entry.name) }) ?? true {
                    if first.count > limit {
                        guard let last = first.last, entry.name.lexicographicallyPrecedes(last.name) else { continue }
                        first.removeLast()
                    }
                    first.insert(entry, at: Self.position(of: entry.name, in: first))
                }
                return true
            }
        }
        var infos: [FileInfo] = []
        for entry in first.prefix(limit) {
            var info = FileInfo(path: path.appending(entry.name), attributes: entry.attributes)
            if info.attributes.kind == .link {
                info.target = try? await client.readLink(Self.join(place, entry.name))  // it may be gone meanwhile
            }
            infos.append(info)
        }
        return (infos, first.count > limit)
    }

    private static func position(of name: [UInt8], in entries: [SFTPEntry]) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].name.lexicographicallyPrecedes(name) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Where the directory is that the path leads to. Throws `not_a_directory`.
    @discardableResult
    package func directory(_ path: HomePath) async throws -> [UInt8] {
        let place = try await resolved(path)
        let attributes = try await translating(path) { try await client.attributes(place) }
        guard attributes.kind == .directory else {
            throw ServiceError(
                .notADirectory, "'\(path)' is no directory.", hint: "Leave the query out to read a file.")
        }
        return place
    }

    /// Opens a file and lends it with what is known of it. Throws `is_directory`, and `file_refused` for what is neither:
    /// opening a pipe may never end.
    package func withFile<Result>(
        _ path: HomePath, _ body: (FileInfo, SFTPFile) async throws -> Result
    ) async throws -> Result {
        let place = try await resolved(path)
        let attributes = try await translating(path) { try await client.attributes(place) }
        try Self.expectFile(attributes, path)
        return try await translating(path) {
            try await client.withFile(place, .read) { file in
                try await body(FileInfo(path: path, attributes: try await file.attributes()), file)
            }
        }
    }

    static func expectFile(_ attributes: SFTPAttributes, _ path: HomePath) throws(ServiceError) {
        switch attributes.kind {
        case .file: break
        case .directory:
            throw ServiceError(
                .isDirectory, "'\(path)' is a directory.", hint: "'?list' lists it, '?archive=tar' gives all of it.")
        case .link, .other:
            throw ServiceError(.fileRefused, "'\(path)' is no plain file.", hint: "Pipes and devices have no content.")
        }
    }

    /// Everything below a directory, each before what is in it, links not followed. What `body` is given with a file can
    /// be opened with ``withEntry(_:_:)``.
    package func walk(
        _ path: HomePath, _ body: (_ entry: FileInfo, _ place: [UInt8]) async throws -> Void
    ) async throws {
        try await walk(path, try await directory(path), body)
    }

    private func walk(
        _ path: HomePath, _ place: [UInt8], _ body: (_ entry: FileInfo, _ place: [UInt8]) async throws -> Void
    ) async throws {
        try await translating(path) {
            try await client.entries(of: place) { entries in
                for entry in entries {
                    let (below, inside) = (path.appending(entry.name), Self.join(place, entry.name))
                    var info = FileInfo(path: below, attributes: entry.attributes)
                    if info.attributes.kind == .link { info.target = try? await client.readLink(inside) }
                    try await body(info, inside)
                    if info.attributes.kind == .directory { try await walk(below, inside, body) }
                }
                return true
            }
        }
    }

    /// Lends a file that ``walk(_:_:)`` has found.
    package func withEntry<Result>(
        _ entry: FileInfo, at place: [UInt8], _ body: (FileInfo, SFTPFile) async throws -> Result
    ) async throws -> Result {
        try await translating(entry.path) {
            try await client.withFile(place, .read) { file in
                try await body(FileInfo(path: entry.path, attributes: try await file.attributes()), file)
            }
        }
    }

    // MARK: What the machine says

    /// Puts what the SFTP server says into our vocabulary.
    func translating<Result>(_ path: HomePath, _ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as SFTPError {
            throw await described(error, path)
        }
    }

    private func described(_ error: SFTPError, _ path: HomePath) async -> ServiceError {
        switch error.code {
        case .notFound:
            return ServiceError(
                .fileNotFound, "There is no '\(path)' in the home.", hint: "'?list' lists a directory.", cause: error)
        case .denied:
            return ServiceError(
                .fileForbidden, "The programs' user may not do this to '\(path)'.",
                hint: "Change the mode of the file or of its directory.", cause: error)
        case .invalid:
            return ServiceError(
                .invalidRequest, "The machine does not take '\(path)' for a path.", hint: "It may be too long.",
                cause: error)
        case .failed, .unsupported:
            if let free = try? await client.freeSpace(home), free < Self.nearlyFull {
                return ServiceError(
                    .diskFull, "The VM's disk is full: '\(path)' was not written.", hint: "Delete something first.",
                    cause: error)
            }
            return ServiceError(
                .fileRefused, "The VM refused this of '\(path)' and does not say why.",
                hint: "Look at it in the VM; its directory may be gone or read-only.", cause: error)
        }
    }

    private static let nearlyFull: UInt64 = 256 * 1024
}
