import Dispatch
import Foundation

/// Files of this machine, read and written on a thread of their own: a disk may be slow. Paths are bytes, for names need
/// not be text. Throws ``LocalFileError``.
package struct LocalFiles: Sendable {
    private let queue = DispatchQueue(label: "martlet.local-files")

    package init() {}

    package enum Kind: Sendable {
        case file(size: UInt64), directory, other
    }

    /// A descriptor that is closed with the object. Used by one task at a time.
    package final class Handle: Sendable {
        fileprivate let descriptor: Int32
        fileprivate let name: [UInt8]

        fileprivate init(_ descriptor: Int32, _ name: [UInt8]) {
            self.descriptor = descriptor
            self.name = name
        }

        deinit { close(descriptor) }
    }

    /// What is at the end of links; `nil` if there is nothing.
    package func kind(_ path: [UInt8]) async throws -> Kind? {
        try await blocking {
            var status = stat()
            guard Self.withPath(path, { stat($0, &status) }) == 0 else {
                if errno == ENOENT || errno == ENOTDIR { return nil }
                throw LocalFileError("look at", path, errno)
            }
            switch status.st_mode & S_IFMT {
            case S_IFREG: return .file(size: UInt64(status.st_size))
            case S_IFDIR: return .directory
            default: return .other
            }
        }
    }

    package func isLink(_ path: [UInt8]) async throws -> Bool {
        try await blocking {
            var status = stat()
            guard Self.withPath(path, { lstat($0, &status) }) == 0 else { throw LocalFileError("look at", path, errno) }
            return status.st_mode & S_IFMT == S_IFLNK
        }
    }

    package func open(reading path: [UInt8]) async throws -> Handle {
        try await open(path, O_RDONLY, "open")
    }

    /// Made new, or emptied.
    package func open(writing path: [UInt8]) async throws -> Handle {
        try await open(path, O_WRONLY | O_CREAT | O_TRUNC, "write")
    }

    private func open(_ path: [UInt8], _ flags: Int32, _ what: String) async throws -> Handle {
        try await blocking {
            let descriptor = Self.withPath(path) { Foundation.open($0, flags | O_CLOEXEC, 0o666) }
            guard descriptor >= 0 else { throw LocalFileError(what, path, errno) }
            return Handle(descriptor, path)
        }
    }

    /// At most `count` bytes from there; fewer at the end of the file only.
    package func read(_ file: Handle, at offset: UInt64, count: Int) async throws -> [UInt8] {
        try await blocking {
            var bytes = [UInt8](repeating: 0, count: count)
            var filled = 0
            while filled < count {
                let got = bytes.withUnsafeMutableBytes {
                    pread(file.descriptor, $0.baseAddress?.advanced(by: filled), count - filled, off_t(offset) + filled)
                }
                if got < 0, errno == EINTR { continue }
                guard got >= 0 else { throw LocalFileError("read", file.name, errno) }
                if got == 0 { break }
                filled += got
            }
            bytes.removeLast(count - filled)
            return bytes
        }
    }

    package func write(_ bytes: [UInt8], to file: Handle, at offset: UInt64) async throws {
        try await blocking {
            try bytes.withUnsafeBytes { bytes in
                var done = 0
                while done < bytes.count {
                    let put = pwrite(
                        file.descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(offset) + done
                    )
                    if put < 0, errno == EINTR { continue }
                    guard put > 0 else { throw LocalFileError("write", file.name, errno) }
                    done += put
                }
            }
        }
    }

    package func rename(_ old: [UInt8], to new: [UInt8]) async throws {
        try await blocking {
            let result = Self.withPath(old) { old in Self.withPath(new) { Foundation.rename(old, $0) } }
            guard result == 0 else { throw LocalFileError("write", new, errno) }
        }
    }

    /// Nothing there is no error.
    package func remove(_ path: [UInt8]) async throws {
        try await blocking { _ = Self.withPath(path) { unlink($0) } }
    }

    /// One that is there is no error.
    package func makeDirectory(_ path: [UInt8]) async throws {
        try await blocking {
            guard Self.withPath(path, { mkdir($0, 0o777) }) != 0, errno != EEXIST else { return }
            throw LocalFileError("make the directory", path, errno)
        }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    package func names(in path: [UInt8]) async throws -> [[UInt8]] {
        try await blocking {
            guard let directory = Self.withPath(path, { opendir($0) }) else {
                throw LocalFileError("list", path, errno)
            }
            defer { closedir(directory) }
            var names: [[UInt8]] = []
            while let entry = readdir(directory) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
                if name != [0x2e], name != [0x2e, 0x2e] { names.append(name) }
            }
            return names.sorted { $0.lexicographicallyPrecedes($1) }
        }
    }

    private static func withPath<Result>(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (path + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }  // never empty
        }
    }

    private func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result { try body() }) }
        }
    }
}

/// Why a file of this machine could not be read or written.
package struct LocalFileError: Error, CustomStringConvertible {
    package let description: String

    init(_ what: String, _ path: [UInt8], _ code: Int32) {
        let name = TerminalText.visible(String(decoding: path, as: UTF8.self))
        description = "Could not \(what) '\(name)': \(String(cString: strerror(code)))."
    }
}
