import Dispatch
import EventLoop
import Foundation

/// Standard output and error of this process. Writing may block for as long as the reader likes, so it happens on a
/// thread of its own, and whoever writes waits: a slow reader slows the server's stream, nothing is piled up.
package struct StandardOutput: Sendable {
    package enum Stream: Int32, Sendable {
        case output = 1
        case error = 2
    }

    /// The reader of standard output or error is gone (`| head`).
    package struct ReaderGone: Error {}

    private let queue = DispatchQueue(label: "martlet.standard-output")

    /// The process is to ignore SIGPIPE.
    package init() {}

    /// Writes all of it. Throws ``ReaderGone``.
    package func write(_ bytes: [UInt8], to stream: Stream) async throws {
        guard !bytes.isEmpty else { return }
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            queue.async {
                continuation.resume(with: Result { try Self.writeBlocking(bytes, to: stream.rawValue) })
            }
        }
    }

    private static func writeBlocking(_ bytes: [UInt8], to descriptor: Int32) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let written = Foundation.write(descriptor, rest.baseAddress, rest.count)
                let code = errno
                if written > 0 {
                    rest = rest.dropFirst(written)
                } else if code == EAGAIN {
                    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = Foundation.poll(&poll, 1, -1)
                } else if code == EPIPE || code == EIO {
                    throw ReaderGone()
                } else if code != EINTR {
                    throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO)
                }
            }
        }
    }
}

extension Slice<UnsafeRawBufferPointer> {
    fileprivate var baseAddress: UnsafeRawPointer? { base.baseAddress?.advanced(by: startIndex) }
}

/// Standard input, read when asked for and never ahead. What can wait (pipe, socket, terminal) is waited for on an
/// event loop, so a cancelled reader is free at once; a file or a device answers by itself.
package actor StandardInput {
    private let loop: EventLoop
    private let mustWait: Bool
    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    package init() {
        loop = .next()
        var status = stat()
        let kind = fstat(0, &status) == 0 ? status.st_mode & S_IFMT : 0
        mustWait = kind == S_IFIFO || kind == S_IFSOCK || isatty(0) == 1
    }

    package static var isTerminal: Bool { isatty(0) == 1 }

    /// The next bytes, at most `limit`; nil at the end.
    package func read(upTo limit: Int = 65_536) async throws -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: limit)
        while true {
            if mustWait { _ = try await loop.readiness(of: 0, for: .read) }
            let count = Foundation.read(0, &buffer, limit)
            let code = errno
            if count > 0 { return Array(buffer.prefix(count)) }
            if count == 0 { return nil }
            guard code == EINTR || code == EAGAIN else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
        }
    }

    /// All of it. Throws if it is more than `limit` bytes.
    package func readAll(limit: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        while let bytes = try await read() {
            all += bytes
            guard all.count <= limit else { throw POSIXError(.EFBIG) }
        }
        return all
    }
}
