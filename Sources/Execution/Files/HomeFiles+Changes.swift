import Fleet
import SSH

extension HomeFiles {
    /// Removes a file, a link (never what it leads to) or an empty directory; with `recursively` one that is not.
    package func remove(_ path: HomePath, recursively: Bool) async throws {
        let place = try await place(path)
        let attributes = try await translating(path) { try await client.linkAttributes(place) }
        guard attributes.kind == .directory else {
            return try await translating(path) { try await client.remove(place) }
        }
        if recursively { try await removeContent(path, place) }
        do {
            try await client.removeDirectory(place)
        } catch let error as SFTPError where error.code == .failed {
            throw ServiceError(
                .directoryNotEmpty, "'\(path)' is not empty.", hint: "'?recursive' removes all that is in it.",
                cause: error)
        } catch let error as SFTPError {
            try await translating(path) { throw error }
        }
    }

    private func removeContent(_ path: HomePath, _ place: [UInt8]) async throws {
        try await translating(path) {
            try await client.entries(of: place) { entries in
                for entry in entries where entry.attributes.kind == .directory {
                    let (below, inside) = (path.appending(entry.name), Self.join(place, entry.name))
                    try await removeContent(below, inside)
                    try await translating(below) { try await client.removeDirectory(inside) }
                }
                let others = entries.filter { $0.attributes.kind != .directory }
                try await client.remove(others.map { Self.join(place, $0.name) })
                return true
            }
        }
    }

    /// Gives a file, link or directory another name, in one step.
    package func move(_ path: HomePath, to new: HomePath, replacing: Bool, makesParents: Bool) async throws {
        let place = try await place(path)
        let attributes = try await translating(path) { try await client.linkAttributes(place) }
        guard new == path || !new.parts.starts(with: path.parts) || attributes.kind != .directory else {
            throw ServiceError(
                .invalidRequest, "'\(path)' cannot be moved into itself.", hint: "Name a place outside of it.")
        }
        if makesParents { try await makeParents(of: new) }
        let newPlace = try await self.place(new)
        if let there = try? await client.linkAttributes(newPlace) {
            guard replacing else { throw Self.exists(new) }
            guard there.kind != .directory || attributes.kind == .directory else {
                throw ServiceError(.isDirectory, "'\(new)' is a directory.", hint: "Name the file that it shall be.")
            }
            guard attributes.kind != .directory || there.kind == .directory else {
                throw ServiceError(
                    .notADirectory, "'\(new)' is a file, and a directory cannot replace it.", hint: "Remove it first.")
            }
        }
        // A directory cannot be given its name without replacing in SFTP, but replaces an empty one only.
        let replaces = replacing || attributes.kind != .file
        try await translating(new) {
            do {
                try await client.rename(place, to: newPlace, replacing: replaces)
            } catch let error as SFTPError where error.code == .failed {
                guard (try? await client.linkAttributes(newPlace)) != nil else { throw error }
                if attributes.kind == .directory {
                    throw ServiceError(
                        .directoryNotEmpty, "'\(new)' is there and not empty.", hint: "Remove it first.", cause: error)
                }
                throw Self.exists(new)
            }
        }
    }

    static func exists(_ path: HomePath) -> ServiceError {
        ServiceError(.fileExists, "'\(path)' exists.", hint: "Choose another name, or say that it is to be replaced.")
    }

    /// Makes a directory. With `makesParents` also those it is in, and one that is there is no error.
    package func makeDirectory(_ path: HomePath, makesParents: Bool) async throws {
        if makesParents { try await makeParents(of: path) }
        let place = try await place(path)
        try await translating(path) {
            do {
                try await client.makeDirectory(place)
            } catch let error as SFTPError where error.code == .failed {
                guard let there = try? await client.attributes(place) else { throw error }
                guard makesParents, there.kind == .directory else { throw Self.exists(path) }
            }
        }
    }

    func makeParents(of path: HomePath) async throws {
        guard !path.isHome, !path.parent.isHome else { return }
        let parent = path.parent
        if let there = try? await info(parent), there.attributes.kind != .other {
            return  // a file, or a link to one, is found out when something is made in it
        }
        try await makeDirectory(parent, makesParents: true)
    }

    /// Sets the bits that `chmod` sets, of what the path leads to.
    package func setMode(_ mode: UInt32, of path: HomePath) async throws {
        let place = try await resolved(path)
        try await translating(path) { try await client.setMode(mode, of: place) }
    }
}
