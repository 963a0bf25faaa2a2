import Foundation
import Synchronization
import Testing

/// A server for one test: each connection is given to the test's closure, on a thread of its own. Blocking on purpose,
/// so that the test decides when what is sent and read.
final class TestServer: Sendable {
    struct Connection: Sendable {
        let descriptor: Int32
        let sent: Bytes

        /// Head and body (by Content-Length) of the next request; `nil` once the client has closed.
        func request() -> (head: String, body: [UInt8])? {
            var head: [UInt8] = []
            while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                guard let byte = read(1).first else { return nil }
                head.append(byte)
            }
            let text = String(decoding: head, as: UTF8.self)
            let length = text.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                .flatMap { Int($0.dropFirst("content-length:".count).trimmingCharacters(in: .whitespaces)) }
            var body: [UInt8] = []
            while body.count < length ?? 0 {
                let more = read((length ?? 0) - body.count)
                if more.isEmpty { return nil }
                body += more
            }
            return (text, body)
        }

        /// Whether everything went out before the client closed.
        @discardableResult func write(_ bytes: [UInt8]) -> Bool {
            var start = 0
            while start < bytes.count {
                let count = bytes[start...].withUnsafeBytes {
                    send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if count <= 0 { return false }
                start += count
                sent.add(count)
            }
            return true
        }

        @discardableResult func write(_ text: String) -> Bool { write(Array(text.utf8)) }

        /// Waits until the client has closed.
        func awaitClose() { while !read(4096).isEmpty {} }

        private func read(_ limit: Int) -> [UInt8] {
            var buffer = [UInt8](repeating: 0, count: min(limit, 65_536))
            let count = recv(descriptor, &buffer, buffer.count, 0)
            return count > 0 ? Array(buffer.prefix(count)) : []
        }
    }

    final class Bytes: Sendable {
        private let value = Mutex(0)
        func add(_ count: Int) { value.withLock { $0 += count } }
        var count: Int { value.withLock { $0 } }
    }

    let port: Int
    let sent = Bytes()
    private let listener: Int32
    private let open = Mutex<(connections: Set<Int32>, accepted: Int)>(([], 0))

    var url: String { "http://127.0.0.1:\(port)" }
    var accepted: Int { open.withLock { $0.accepted } }
    var openConnections: Int { open.withLock { $0.connections.count } }

    init(unixSocket: String? = nil, _ serve: @escaping @Sendable (Connection) -> Void) throws {
        let family = unixSocket == nil ? AF_INET : AF_UNIX
        let listener = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        self.listener = listener
        var bound: Int32
        if let unixSocket {
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: unixSocket.utf8) }
            bound = bindSocket(listener, &address)
            port = 0
        } else {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            bound = bindSocket(listener, &address)
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { _ = getsockname(listener, $0, &length) }
            }
            port = Int(UInt16(bigEndian: address.sin_port))
        }
        if bound == 0 { bound = listen(listener, 512) }
        try #require(bound == 0, "no listener: \(String(cString: strerror(errno)))")
        let thread = Thread { [self] in
            while true {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { return }
                open.withLock {
                    $0.connections.insert(descriptor)
                    $0.accepted += 1
                }
                let worker = Thread { [self] in
                    serve(Connection(descriptor: descriptor, sent: sent))
                    open.withLock { _ = $0.connections.remove(descriptor) }
                    close(descriptor)
                }
                worker.stackSize = 256 << 10
                worker.start()
            }
        }
        thread.start()
    }

    /// Ends the listener and whatever its connections still do.
    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        open.withLock { for descriptor in $0.connections { shutdown(descriptor, Int32(SHUT_RDWR)) } }
    }
}

private func bindSocket<Address>(_ descriptor: Int32, _ address: inout Address) -> Int32 {
    withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
        }
    }
}

/// Polls under a deadline; fails the test with the last value seen.
func eventually<Value>(
    _ what: String, within limit: Duration = .seconds(20), _ value: () -> Value, is condition: (Value) -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while true {
        let last = value()
        if condition(last) { return }
        try #require(ContinuousClock.now < end, "\(what): last seen \(last)")
        try await Task.sleep(for: .milliseconds(5))  // the pace of a poll
    }
}
