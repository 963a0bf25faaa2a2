import EventLoop
import Foundation
import HTTPTransport
import WebSocket

/// An open WebSocket to the server (RFC 6455), lent by ``APIClient/webSocket(_:_:)``. One task reads, any may write.
package final class ClientWebSocket: Sendable {
    package enum Message: Sendable {
        case text(String)
        case binary([UInt8])
        /// The last.
        case closed(code: UInt16?, reason: String)
    }

    private let reader: FrameReader
    private let writer: FrameWriter

    init(_ tunnel: HTTPTunnel, early: [UInt8]) {
        reader = FrameReader(tunnel: tunnel, early: early)
        writer = FrameWriter(tunnel: tunnel)
    }

    /// The next message; pings are answered meanwhile. Throws `stream_cut` where the connection ends without a word.
    package func next() async throws -> Message {
        while true {
            switch try await reader.next() {
            case .text(let text): return .text(text)
            case .binary(let bytes): return .binary(bytes)
            case .ping(let payload): try await writer.write(WebSocketFrame(.pong, payload))
            case .pong: continue
            case .close(let code, let reason):
                try? await writer.write(.close(code))
                return .closed(code: code?.rawValue, reason: reason)
            }
        }
    }

    package func send(_ bytes: [UInt8]) async throws { try await writer.write(.binary(bytes)) }
    package func send(text: String) async throws { try await writer.write(.text(text)) }

    /// Shows life without being asked: whoever does not read for a while cannot answer pings, and is there all the same.
    package func showLife() async throws { try await writer.write(WebSocketFrame(.pong)) }

    /// Says that this side is done; the server's close follows.
    package func close() async throws { try await writer.write(.close(.normal)) }
}

private actor FrameReader {
    private let tunnel: HTTPTunnel
    private var decoder = WebSocketDecoder(from: .server)

    init(tunnel: HTTPTunnel, early: [UInt8]) {
        self.tunnel = tunnel
        decoder.append(early)
    }

    func next() async throws -> WebSocketMessage {
        while true {
            do {
                if let message = try decoder.next() { return message }
            } catch {
                throw ClientError(
                    .failed, code: "answer_not_understood",
                    message: "The server broke the WebSocket protocol: \(error).",
                    hint: "Is there a proxy between that changes what it carries?")
            }
            guard let bytes = try await tunnel.read() else {
                throw ClientError(
                    .failed, code: "stream_cut", message: "The server's connection ended without a word.",
                    hint: "It may have been stopped; try again.")
            }
            decoder.append(bytes)
        }
    }
}

/// Frames go out whole, one after another.
private actor FrameWriter {
    private let tunnel: HTTPTunnel
    private var isBusy = false
    private var waiting: [Waiter<Void>] = []

    init(tunnel: HTTPTunnel) { self.tunnel = tunnel }

    func write(_ frame: WebSocketFrame) async throws {
        while isBusy {
            let turn = Waiter<Void>()
            waiting.append(turn)
            try await turn.value()
        }
        isBusy = true
        defer {
            isBusy = false
            for turn in waiting { turn.resume(with: .success(())) }
            waiting = []
        }
        try await tunnel.write(frame.encoded(mask: .random(in: .min ... .max)))
    }
}

extension APIClient {
    private static let longestHead = 65_536
    private static let longestRefusal = 1 << 20

    /// Opens a WebSocket and lends it. Throws ``ClientError`` where the server refuses it, in the server's own words.
    package func webSocket<Result: Sendable>(
        _ path: String, _ body: (ClientWebSocket) async throws -> Result
    ) async throws -> Result {
        var request = HTTPRequest("GET", url + path)
        request.timeout = nil
        do {
            return try await http.connecting(to: request) { tunnel in
                let rest = try await upgrade(tunnel, path)
                return try await body(ClientWebSocket(tunnel, early: rest))
            }
        } catch let error as HTTPTransportError {
            throw ClientError(error, server: url)
        }
    }

    /// Returns what came behind the answer.
    private func upgrade(_ tunnel: HTTPTunnel, _ path: String) async throws -> [UInt8] {
        let key = WebSocketHandshake.key((0..<16).map { _ in UInt8.random(in: .min ... .max) })
        let parts = URLComponents(string: url)
        let host = (parts?.host ?? "") + (parts?.port.map { ":\($0)" } ?? "")
        var lines = [
            "GET \(parts?.percentEncodedPath ?? "")\(path) HTTP/1.1", "Host: \(host)", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: \(WebSocketHandshake.version)", "Sec-WebSocket-Key: \(key)",
            "User-Agent: martlet",
        ]
        if let token { lines.append("Authorization: Bearer \(token)") }
        guard lines.allSatisfy({ !$0.utf8.contains { $0 < 0x20 || $0 == 0x7F } }) else {
            throw ClientError(
                .refused, code: "invalid_name", message: "The server's URL or the token holds a control character.",
                hint: "See MARTLET_URL and MARTLET_TOKEN.")
        }
        try await tunnel.write(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8))

        var received: [UInt8] = []
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let range = received.firstRange(of: end) {
                let head = AnswerHead(received[..<range.lowerBound])
                let rest = Array(received[range.upperBound...])
                guard head.status == 101 else {
                    throw refusal(status: head.status, body: try await whole(rest, of: head, from: tunnel))
                }
                guard head["sec-websocket-accept"] == WebSocketHandshake.accept(key) else {
                    throw ClientError(
                        .failed, code: "answer_not_understood", message: "\(url) is no WebSocket server.",
                        hint: "Is there a proxy between that does not pass WebSockets on?")
                }
                return rest
            }
            guard received.count < Self.longestHead, let bytes = try await tunnel.read() else {
                throw ClientError(
                    .failed, code: "answer_not_understood", message: "\(url) gave no answer to a WebSocket.",
                    hint: "Is it a Martlet server?")
            }
            received += bytes
        }
    }

    private func whole(_ start: [UInt8], of head: AnswerHead, from tunnel: HTTPTunnel) async throws -> [UInt8] {
        let length = min(head["content-length"].flatMap { Int($0) } ?? Self.longestRefusal, Self.longestRefusal)
        var body = start
        while body.count < length, let bytes = try await tunnel.read() { body += bytes }
        return Array(body.prefix(length))
    }

    private struct AnswerHead {
        let status: Int
        private var fields: [String: String] = [:]

        init(_ bytes: ArraySlice<UInt8>) {
            let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
            status = lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
            for line in lines.dropFirst() {
                guard let colon = line.firstIndex(of: ":") else { continue }
                fields[line[..<colon].lowercased()] =
                    line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            }
        }

        subscript(name: String) -> String? { fields[name] }
    }
}
