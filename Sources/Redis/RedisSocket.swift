import Foundation

/// Opening of stream sockets that do not block and are not inherited (hiredis' own connect leaves out close-on-exec).
enum RedisSocket {
    /// A `sockaddr` as the kernel wants it.
    struct Target: Sendable {
        let family: Int32
        let bytes: [UInt8]
    }

    /// The addresses of a host name, or why there are none. Blocks when `isNumeric` is false.
    static func resolve(host: String, port: Int, isNumeric: Bool) -> Result<[Target], RedisError> {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (isNumeric ? AI_NUMERICHOST : AI_ADDRCONFIG)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        defer { list.map { freeaddrinfo($0) } }
        guard code == 0 else {
            return .failure(RedisError(.connectionFailed, "host '\(host)': \(String(cString: gai_strerror(code)))"))
        }
        var targets: [Target] = []
        var next = list
        while let entry = next?.pointee {
            let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
            targets.append(Target(family: entry.ai_family, bytes: Array(bytes)))
            next = entry.ai_next
        }
        return .success(targets)
    }

    /// A unix socket's address. The path is shorter than `sun_path`: the endpoint refuses others.
    static func unix(path: String) -> Target {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        return Target(family: AF_UNIX, bytes: withUnsafeBytes(of: &address) { Array($0) })
    }

    /// Begins a connect; done when the descriptor is writable, with the result in ``pendingError(of:)``.
    static func connect(to target: Target) throws(RedisError) -> Int32 {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(target.family, Int32(type), 0)
        guard descriptor >= 0 else { throw failure(errno) }
        if target.family != AF_UNIX {
            var on: Int32 = 1
            setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        let result = target.bytes.withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: sockaddr.self) {
                Foundation.connect(descriptor, $0.baseAddress, socklen_t(bytes.count))
            }
        }
        let code = errno
        // EINTR: the connect goes on by itself (POSIX, connect). EAGAIN: a unix socket whose backlog is full.
        guard result == 0 || code == EINPROGRESS || code == EINTR else {
            close(descriptor)
            throw failure(code)
        }
        return descriptor
    }

    /// What became of the connect, once writable.
    static func pendingError(of descriptor: Int32) -> RedisError? {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) == 0 else { return failure(errno) }
        return code == 0 ? nil : failure(code)
    }

    private static func failure(_ code: Int32) -> RedisError {
        RedisError(.connectionFailed, String(cString: strerror(code)))
    }
}
