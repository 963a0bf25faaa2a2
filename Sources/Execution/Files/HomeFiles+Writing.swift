import EventLoop
package import Fleet
import Foundation
package import SSH

extension HomeFiles {
    /// What has become of a write.
    package enum Written: Sendable {
        case whole(FileInfo, isNew: Bool)
        case part(UInt64)  // so many bytes of it are there
    }

    /// Part of a file that is sent in several requests.
    package struct Part: Sendable {
        let id: String
        let offset: UInt64
        let total: UInt64

        /// `id` is the client's own. Throws `invalid_request`.
        package init(id: String, offset: UInt64, total: UInt64) throws(ServiceError) {
            let allowed = id.utf8.allSatisfy {
                ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x41 && $0 <= 0x5a) || $0 == 0x2d
            }
            guard (8...64).contains(id.utf8.count), allowed else {
                throw ServiceError(
                    .invalidRequest, "'upload' must be 8 to 64 letters, digits and '-'.",
                    hint: "Make a UUID for each file that you send.")
            }
            guard offset <= total else {
                throw ServiceError(
                    .invalidRequest, "'offset' is beyond 'total'.", hint: "Ask how far the upload is: GET ?upload=…")
            }
            (self.id, self.offset, self.total) = (id, offset, total)
        }
    }

    /// Writes a file: `body` gives its bytes to what it is lent. Readers see the file as it was until all of the new is on
    /// the disk, and for ever if `body` throws or this gateway dies. Throws `file_exists`, `precondition_failed`,
    /// `is_directory`, `disk_full`; for a part that does not go on where the upload is, `upload_mismatch`.
    package func write(
        _ path: HomePath, _ condition: FileCondition, part: Part? = nil,
        _ body: (SFTPFile) async throws -> Void
    ) async throws -> Written {
        if condition.makesParents { try await makeParents(of: path) }
        guard !path.isHome else {
            throw ServiceError(.isDirectory, "The home is a directory.", hint: "Name the file that is to be written.")
        }
        let place = try await resolved(path)
        let old = try await found(path, at: place)
        if let old { try Self.expectFile(old.attributes, path) }
        try Self.check(condition, against: old, path)
        let (directory, unfinished) = try await uploadsDirectory()
        guard let part else {
            let temporary = Self.join(directory, Array("once-\(UUID().uuidString.lowercased())".utf8))
            do {
                try await filling(temporary, .create(mode: 0o600), path, body)
                return try await complete(temporary, path, place, condition)
            } catch {
                let removal = Task {  // also when we are cancelled; awaited right here
                    try await withDeadline(.seconds(2), "removal") { try await client.remove(temporary) }
                }
                _ = await removal.result
                throw error
            }
        }
        let temporary = Self.join(directory, Self.name(of: part.id))
        let size = try await found(path, at: temporary)?.size
        guard part.offset == size ?? 0 || part.offset == 0 else {
            throw ServiceError(
                .uploadMismatch, "The upload has \(size ?? 0) bytes; these are for \(part.offset).",
                hint: "Send what comes next: GET ?upload=\(part.id) says where it is.")
        }
        if size == nil, unfinished >= Self.mostUnfinished {
            throw ServiceError(
                .fileRefused, "\(unfinished) uploads are under way or were left off, and more are not kept.",
                hint: "Go on with one, or forget one: DELETE ?upload=ID. What nothing is added to for a day is removed."
            )
        }
        if part.offset == 0, size != nil { try await translating(path) { try await client.remove(temporary) } }
        try await filling(temporary, part.offset == 0 ? .create(mode: 0o600) : .write, path, isLast: false) { file in
            await file.seek(writing: part.offset)
            try await body(file)
        }
        let reached = try await found(path, at: temporary)?.size ?? 0
        guard reached >= part.total else { return .part(reached) }
        guard reached == part.total else {
            throw ServiceError(
                .uploadMismatch, "The upload has \(reached) bytes, more than its total of \(part.total).",
                hint: "Begin again with another id.")
        }
        try await filling(temporary, .write, path) { _ in }  // to the disk, with all parts before
        return try await complete(temporary, path, place, condition)
    }

    private func filling(
        _ temporary: [UInt8], _ access: SFTPClient.Access, _ path: HomePath, isLast: Bool = true,
        _ body: (SFTPFile) async throws -> Void
    ) async throws {
        try await translating(path) {
            try await client.withFile(temporary, access) { file in
                try await body(file)
                try await file.flush()
                if isLast { try await file.synchronize() }
            }
        }
    }

    private func complete(
        _ temporary: [UInt8], _ path: HomePath, _ place: [UInt8], _ condition: FileCondition
    ) async throws -> Written {
        let old = try await found(path, at: place)
        try Self.check(condition, against: old, path)  // again: it was long ago
        try await translating(path) {
            try await client.setMode(condition.mode ?? old?.attributes.mode ?? 0o644, of: temporary)
            if case .new = condition.expectation {
                do {
                    try await client.rename(temporary, to: place, replacing: false)
                } catch let error as SFTPError where error.code == .failed {
                    guard (try? await client.linkAttributes(place)) != nil else { throw error }
                    throw Self.exists(path)
                }
            } else {
                try await client.rename(temporary, to: place, replacing: true)
            }
        }
        let new = try await translating(path) { FileInfo(path: path, attributes: try await client.attributes(place)) }
        return .whole(new, isNew: old == nil)
    }

    private static func check(_ condition: FileCondition, against old: FileInfo?, _ path: HomePath) throws(ServiceError)
    {
        let holds =
            switch condition.expectation {
            case .anything: true
            case .new: old == nil
            case .existing: old != nil
            case .tagged(let tags): old.map { tags.contains($0.tag) } ?? false
            }
        guard holds else {
            if case .new = condition.expectation { throw exists(path) }
            throw ServiceError(
                .preconditionFailed, "'\(path)' is not as the request expects it.",
                hint: "Somebody has changed it: read it again.")
        }
    }

    // MARK: Uploads

    /// Most uploads in parts that a home keeps. Two requests at once may begin one more.
    private static let mostUnfinished = 100

    /// How many bytes of an upload are there; `nil` if it is not known (any more).
    package func uploaded(_ id: Part) async throws -> UInt64? {
        let place = Self.join(Self.join(home, Self.uploads), Self.name(of: id.id))
        return try await found(HomePath(parts: [Self.uploads]), at: place)?.size
    }

    /// Forgets an upload. One that is not known is no error.
    package func abandonUpload(_ id: Part) async throws {
        let place = Self.join(Self.join(home, Self.uploads), Self.name(of: id.id))
        do { try await client.remove(place) } catch let error as SFTPError where error.code == .notFound {}
    }

    private static func name(of id: String) -> [UInt8] { Array("part-\(id)".utf8) }

    /// Makes it if it is not there, and removes what was begun long ago and never ended. Tells how many uploads in parts
    /// are left in it.
    private func uploadsDirectory() async throws -> (place: [UInt8], unfinished: Int) {
        let path = try HomePath(parts: [Self.uploads])
        let directory = Self.join(home, Self.uploads)
        return try await translating(path) {
            do {
                try await client.makeDirectory(directory, mode: 0o700)
            } catch let error as SFTPError where error.code == .failed {
                guard try await client.linkAttributes(directory).kind == .directory else {
                    throw ServiceError(
                        .fileRefused, "'\(path)' is no directory, and uploads go there.", hint: "Remove or rename it.")
                }
                return (directory, try await sweep(directory))
            }
            return (directory, 0)
        }
    }

    /// A file that is being written is as young as its last bytes.
    private func sweep(_ directory: [UInt8]) async throws -> Int {
        let now = Date().timeIntervalSince1970
        var old: [[UInt8]] = []
        var parts = 0
        try await client.entries(of: directory) { entries in
            for entry in entries where entry.attributes.kind == .file {
                let age = now - TimeInterval(entry.attributes.modified)
                let isPart = !entry.name.starts(with: Array("once-".utf8))
                if age > (isPart ? 86_400 : 3_600) {
                    old.append(Self.join(directory, entry.name))
                } else if isPart {
                    parts += 1
                }
            }
            return old.count < 1_000
        }
        try? await client.remove(old)
        return parts
    }
}
