import Foundation

/// An exclusive `flock(2)` on a file of its own, held until this object and every process that inherited the
/// descriptor are gone: the kernel lets go of it however they end, so nothing is ever left locked.
package final class FileLock: Sendable {
    package let path: String
    package let descriptor: Int32

    /// Takes the lock, or returns nil if somebody holds it. Throws `directory_unusable`.
    package static func take(_ path: String) throws -> FileLock? {
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw OperatorError.unusable(path, errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EWOULDBLOCK else { throw OperatorError.unusable(path, code) }
            return nil
        }
        return FileLock(path: path, descriptor: descriptor)
    }

    /// Tries until the lock is free or `limit` has passed (then nil). What it waits for is another process's end,
    /// which nothing announces.
    package static func take(_ path: String, within limit: Duration) async throws -> FileLock? {
        let deadline = ContinuousClock.now + limit
        while true {
            if let lock = try take(path) { return lock }
            guard ContinuousClock.now < deadline else { return nil }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Replaces what the file holds: a note for whoever finds it locked.
    package func write(_ text: String) throws {
        let bytes = Array(text.utf8)
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count else {
            throw OperatorError.unusable(path, errno)
        }
    }

    /// The processes that have the file open, that is those which hold or inherited the lock, save this one.
    static func holders(of path: String) -> [Int32] {
        let files = FileManager.default
        guard let target = realpath(path, nil) else { return [] }
        defer { free(target) }
        let wanted = String(cString: target)
        let own = ProcessInfo.processInfo.processIdentifier
        return (try? files.contentsOfDirectory(atPath: "/proc"))?.compactMap(Int32.init).filter { process in
            guard process != own, let open = try? files.contentsOfDirectory(atPath: "/proc/\(process)/fd") else {
                return false
            }
            return open.contains { number in
                (try? files.destinationOfSymbolicLink(atPath: "/proc/\(process)/fd/\(number)")) == wanted
            }
        } ?? []
    }
}

extension OperatorError {
    static func unusable(_ path: String, _ code: Int32) -> OperatorError {
        OperatorError(
            .directoryUnusable, "'\(path)' cannot be used: \(String(cString: strerror(code))).",
            hint: "Give a directory you own with --data-dir.")
    }
}
