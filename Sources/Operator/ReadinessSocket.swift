import EventLoop
import Foundation

/// Where a server says that it is ready, by the protocol of sd_notify(3): a datagram `READY=1` to the socket named by
/// `NOTIFY_SOCKET`. PostgreSQL and Redis of Debian both speak it. The name is in the abstract namespace, given by the
/// kernel, so that a server that runs as another user reaches it and nothing is left on disk.
actor ReadinessSocket {
    private let loop: EventLoop
    private let descriptor: Int32
    nonisolated let name: String  // for NOTIFY_SOCKET
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(loop: EventLoop = .next()) throws {
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw OperatorError.unusable("a socket for readiness", errno) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var length = socklen_t(MemoryLayout<sa_family_t>.size)  // only the family: the kernel gives a name (unix(7))
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard bind(descriptor, address, length) == 0 else { return Int32(-1) }
                length = socklen_t(MemoryLayout<sockaddr_un>.size)
                return getsockname(descriptor, address, &length)
            }
        }
        guard result == 0 else {
            let code = errno
            close(descriptor)
            throw OperatorError.unusable("a socket for readiness", code)
        }
        let nameLength = Int(length) - MemoryLayout<sa_family_t>.size
        name = withUnsafeBytes(of: address.sun_path) { bytes in
            "@" + String(decoding: bytes.prefix(nameLength).dropFirst(), as: UTF8.self)
        }
        self.loop = loop
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Returns once a datagram says `READY=1`. No deadline of its own.
    func ready() async throws {
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            let code = errno
            if count >= 0 {
                let lines = String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n")
                if lines.contains("READY=1") { return }
            } else if code == EAGAIN {
                _ = try await loop.readiness(of: descriptor, for: .read)
            } else if code != EINTR {
                throw OperatorError.unusable("the socket for readiness", code)
            }
        }
    }
}
