import EventLoop
import Foundation
import HTTPTransport
import Testing

/// A connection that neither stands nor has failed yet is given up. libcurl closes it before it says that it does.
@Suite(.timeLimit(.minutes(2))) struct ConnectingTests {
    @Test func tooLongAConnectIsAnError() async throws {
        try await withBusyPort { port in
            let request = HTTPRequest(
                "GET", "http://127.0.0.1:\(port)/", timeout: nil, connectTimeout: .milliseconds(200))
            let error = await #expect(throws: HTTPTransportError.self) { try await HTTPClient().send(request) }
            #expect(error?.code == .timeout || error?.code == .connectFailed, "\(String(describing: error))")
        }
    }

    @Test func aConnectCanBeCancelled() async throws {
        try await withBusyPort { port in
            let client = HTTPClient()
            for _ in 0..<10 {
                let task = Task { try await client.send(HTTPRequest("GET", "http://127.0.0.1:\(port)/")) }
                try await eventually("connections under way", { connecting(to: port) }, is: { $0 > 0 })
                task.cancel()
                await #expect(throws: CancellationError.self) { try await task.value }
                try await eventually("connections under way", { connecting(to: port) }, is: { $0 == 0 })
            }
        }
    }

    /// Lends a port whose queue of connections is full, so that the kernel answers nobody.
    private func withBusyPort(_ body: (UInt16) async throws -> Void) async throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(client) }
        try withUnsafeMutablePointer(to: &address) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(listener, $0, length) == 0 && listen(listener, 0) == 0)
                try #require(getsockname(listener, $0, &length) == 0 && connect(client, $0, length) == 0)
            }
        }
        try await body(UInt16(bigEndian: address.sin_port))
    }

    /// How many connections to the port wait for an answer (proc(5): state 02).
    private func connecting(to port: UInt16) -> Int {
        let address = "0100007F:" + String(format: "%04X", port)
        // A handle reads to the end; `contentsOfFile` believes the size, which is 0 for files of /proc.
        let table = (try? FileHandle(forReadingAtPath: "/proc/net/tcp")?.readToEnd()) ?? Data()
        return String(decoding: table, as: UTF8.self).split(separator: "\n").count { line in
            let fields = line.split(separator: " ")
            return fields.count > 3 && fields[2] == address && fields[3] == "02"
        }
    }
}
