import NIOCore
import Synchronization
import WebSocket

/// An open WebSocket, lent by ``WebSocketGate``. One task reads; any may write, each message whole.
final class WebSocketChannel: Sendable {
    /// The peer has closed it, with this code or without any.
    struct ClosedByPeer: Error {
        let code: WebSocketCloseCode?
    }

    private struct Hearing {
        var decoder = WebSocketDecoder(from: .client)
        var isReading = false
        var last = ContinuousClock.now  // when something came, or a read began
    }

    private let tunnel: Tunnel
    private let hearing = Mutex(Hearing())

    init(_ tunnel: Tunnel) { self.tunnel = tunnel }

    enum Message: Sendable {
        case text(String)
        case binary([UInt8])
    }

    /// The next message. Pings are answered meanwhile. Throws ``ClosedByPeer``, `ClientLeft`, `WebSocketViolation`; all of
    /// them end the socket when they are not caught, and ought not to be.
    func next() async throws -> Message {
        while true {
            let message = try hearing.withLock { hearing throws(WebSocketViolation) in try hearing.decoder.next() }
            switch message {
            case .text(let text): return .text(text)
            case .binary(let bytes): return .binary(bytes)
            case .ping(let payload): try await write(WebSocketFrame(.pong, payload))
            case .pong: continue
            case .close(let code, _): throw ClosedByPeer(code: code)
            case nil:
                hearing.withLock {
                    $0.isReading = true
                    $0.last = .now
                }
                defer { hearing.withLock { $0.isReading = false } }
                guard let bytes = try await tunnel.read() else { throw ClientLeft() }
                hearing.withLock { $0.decoder.append(bytes.readableBytesView) }
            }
        }
    }

    func send(text: String) async throws { try await write(.text(text)) }
    func send(_ bytes: [UInt8]) async throws { try await write(.binary(bytes)) }

    func write(_ frame: WebSocketFrame) async throws {
        do {
            try await tunnel.write(ByteBuffer(bytes: frame.encoded()))
        } catch {
            throw ClientLeft()  // there is no other reason, and nobody to tell
        }
    }

    /// Pings until the peer is silent for too long while it is listened to. Returns only then.
    func ping(every interval: Duration, silence: Duration) async throws -> WebSocketEnding {
        while true {
            try await Task.sleep(for: interval)
            let isSilent = hearing.withLock { $0.isReading && .now - $0.last >= silence }
            if isSilent {
                cut()
                throw ClientLeft()
            }
            try await write(WebSocketFrame(.ping))
        }
    }

    func clientLeft() async throws { try await tunnel.clientLeft() }
    func cut() { tunnel.cut() }
}
