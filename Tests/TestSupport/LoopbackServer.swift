import EventLoop
import Foundation

/// Runs `server` while `body` does, and ends it then.
func serving<R: Sendable>(
    _ server: @escaping @Sendable () async throws -> Void, _ body: () async throws -> R
) async throws -> R {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            do { try await server() } catch is CancellationError {}
        }
        defer { group.cancelAll() }
        return try await body()
    }
}

/// A listening TCP socket on a free port of loopback, closed with the object.
final class LoopbackListener: Sendable {
    let port: Int
    private let descriptor: Int32

    init() throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isListening = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && listen(descriptor, 1024) == 0
                    && getsockname(descriptor, $0, &length) == 0
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard isListening else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }

    deinit { close(descriptor) }

    /// The next connection, a descriptor that blocks and is the caller's.
    func accept(on loop: EventLoop, isolation: isolated (any Actor)? = #isolation) async throws -> Int32 {
        while true {
            let connection = Glibc.accept(descriptor, nil, nil)
            if connection >= 0 {
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                return connection
            }
            _ = try await loop.readiness(of: descriptor, for: .read)
        }
    }
}

/// A TCP server in the test process that does one simple thing with every connection.
package actor LoopbackServer {
    package enum Behaviour: Sendable {
        case echo
        case silence  // accepts, and neither reads nor writes, nor notices a hang-up
        case pattern(count: Int)  // sends that much of ``Pattern`` and hangs up
        case sink  // reads and counts
        case ticks(every: Duration)  // sends a line again and again
        case answer(@Sendable (_ request: String) -> String)  // to one HTTP request, and hangs up
        case answers(@Sendable (_ request: String) -> String?)  // to one after another, until it is nil: then hangs up
    }

    package nonisolated let port: Int
    package private(set) var openConnections = 0
    package private(set) var received = 0
    private let behaviour: Behaviour
    private let listener: LoopbackListener
    private let loop: EventLoop

    package nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private init(_ behaviour: Behaviour) throws {
        self.behaviour = behaviour
        loop = .next()
        listener = try LoopbackListener()
        port = listener.port
    }

    package static func with<R: Sendable>(
        _ behaviour: Behaviour, _ body: (LoopbackServer) async throws -> R
    ) async throws -> R {
        let server = try LoopbackServer(behaviour)
        return try await serving(server.serve) { try await body(server) }
    }

    private func serve() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                let connection = try await listener.accept(on: loop)
                _ = fcntl(connection, F_SETFL, O_NONBLOCK)
                var on: Int32 = 1
                setsockopt(connection, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
                group.addTask { await self.talk(connection) }
            }
        }
    }

    private func talk(_ connection: Int32) async {
        openConnections += 1
        defer {
            openConnections -= 1
            close(connection)
        }
        // An error is the peer hanging up, and the end of the conversation.
        try? await converse(connection)
    }

    private func converse(_ connection: Int32) async throws {
        switch behaviour {
        case .silence:
            try await loop.sleep(for: .seconds(86_400))
        case .echo:
            while let bytes = try await read(connection) { try await write(bytes[...], to: connection) }
        case .sink:
            while let bytes = try await read(connection) { received += bytes.count }
        case .pattern(let count):
            var offset = 0
            while offset < count {
                let bytes = Pattern.bytes(at: offset, atMost: min(65_536, count - offset))
                try await write(bytes, to: connection)
                offset += bytes.count
            }
        case .answer(let respond):
            var request: [UInt8] = []
            while !Self.isWhole(request), let bytes = try await read(connection) { request += bytes }
            try await write(Array(respond(String(decoding: request, as: UTF8.self)).utf8)[...], to: connection)
        case .answers(let respond):
            while let answer = respond(try await head(from: connection)) {
                try await write(Array(answer.utf8)[...], to: connection)
            }
        case .ticks(let interval):
            while true {
                try await write(Array("a line of output\n".utf8)[...], to: connection)
                try await loop.sleep(for: interval)
            }
        }
    }

    /// Whether these are an HTTP request's head and as much of a body as it says.
    private static func isWhole(_ request: [UInt8]) -> Bool {
        guard let end = request.firstRange(of: Array("\r\n\r\n".utf8))?.upperBound else { return false }
        let head = String(decoding: request[..<end], as: UTF8.self)
        let length = head.lowercased().firstMatch(of: /content-length: *([0-9]+)/).flatMap { Int($0.1) } ?? 0
        return request.count - end >= length
    }

    /// Of the next HTTP request, which has no body; less where the peer has hung up.
    private func head(from connection: Int32) async throws -> String {
        var request: [UInt8] = []
        while !request.suffix(4).elementsEqual("\r\n\r\n".utf8), let bytes = try await read(connection) {
            request += bytes
        }
        return String(decoding: request, as: UTF8.self)
    }

    private func read(_ connection: Int32) async throws -> [UInt8]? {
        while true {
            var code: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
                let result = recv(connection, buffer.baseAddress, buffer.count, 0)
                code = result < 0 ? errno : 0
                count = max(0, result)
            }
            if !bytes.isEmpty { return bytes }
            if code == 0 { return nil }
            guard code == EAGAIN || code == EINTR else { throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO) }
            _ = try await loop.readiness(of: connection, for: .read)
        }
    }

    private func write(_ bytes: ArraySlice<UInt8>, to connection: Int32) async throws {
        var rest = bytes
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            let code = errno
            if sent >= 0 {
                rest = rest.dropFirst(sent)
            } else if code == EAGAIN {
                _ = try await loop.readiness(of: connection, for: .write)
            } else if code != EINTR {
                throw POSIXError(POSIXErrorCode(rawValue: code) ?? .EIO)
            }
        }
    }
}

/// Endless bytes in which a lost, doubled or moved piece shows: a block whose length is prime, again and again.
package enum Pattern {
    private static let period = 65_521
    private static let twice: [UInt8] = {
        var state: UInt32 = 1
        let block = (0..<period).map { _ -> UInt8 in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(truncatingIfNeeded: state >> 24)
        }
        return block + block
    }()

    /// The bytes from `offset` on, at most 64 KiB of them.
    static func bytes(at offset: Int, atMost count: Int) -> ArraySlice<UInt8> {
        let start = offset % period
        return twice[start..<(start + min(count, period))]
    }

    /// Whether these are the bytes from `offset` on.
    package static func holds(_ bytes: [UInt8], at offset: Int) -> Bool {
        var checked = 0
        while checked < bytes.count {
            let expected = self.bytes(at: offset + checked, atMost: bytes.count - checked)
            let isEqual = bytes[checked...].withUnsafeBytes { bytes in
                expected.withUnsafeBytes { expected in
                    guard let left = bytes.baseAddress, let right = expected.baseAddress else { return false }
                    return memcmp(left, right, expected.count) == 0
                }
            }
            guard isEqual else { return false }
            checked += expected.count
        }
        return true
    }
}
