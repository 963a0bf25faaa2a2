import Fleet
import Foundation
import TestSupport
import Testing
import WebSocket

@testable import Execution
@testable import Gateway

/// WebSockets as a client with a socket sees them: a route that answers what it is told, and refusals before.
@Suite struct WebSocketRouteTests {
    private static let path = "/v1/terminals/terminal-1/socket?create=1"
    private static let handshake = [
        "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    /// Operations whose `make` reports what `statuses` gives, and then waits until it is cancelled or fails.
    private static func operations(
        _ make: @escaping @Sendable (_ report: @escaping @Sendable (String) async throws -> Void) async throws -> Void
    ) -> GatewayOperations {
        var operations = GatewayOperations.refusing
        operations.terminals.make = { _, _, _, _, report in
            try await make(report)
            throw ServiceError(.vmFailed, "The VM is broken.", hint: "Destroy it.")
        }
        operations.terminals.find = { _, _, id, _ in
            throw ServiceError(.terminalNotFound, "There is no terminal '\(id)'.", hint: "Make it.")
        }
        return operations
    }

    private static let endless: @Sendable (@escaping @Sendable (String) async throws -> Void) async throws -> Void = {
        report in
        try await report("Waking.")
        try await Task.sleep(for: .seconds(60))
    }

    private func open(_ client: RawClient, _ path: String = path) async throws {
        try await client.request("GET", path, Self.handshake)
        let head = try await client.read(until: "\r\n\r\n")
        #expect(head.hasPrefix("HTTP/1.1 101 "), "\(head)")
        #expect(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "\(head)")
        #expect(!head.lowercased().contains("content-length") && !head.lowercased().contains("transfer-encoding"))
    }

    @Test func itIsOpenedTalksAndIsClosed() async throws {
        try await withGateway(Self.operations(Self.endless)) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("GET", "/healthz")  // the connection was used before
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                try await open(client)
                #expect(String(decoding: try await client.frame().payload, as: UTF8.self) == #"{"status":"Waking."}"#)
                try await client.send(WebSocketFrame.close(.normal).encoded(mask: 7))
            }
            try await RawClient.connected(to: port) { client in
                // Behind the request, in the same packet.
                let request = "GET \(Self.path) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mlt_good\r\n"
                try await client.send(
                    Array((request + Self.handshake.joined(separator: "\r\n") + "\r\n\r\n").utf8)
                        + WebSocketFrame(.ping, [1]).encoded(mask: 1))
                #expect(try await client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101 "))
                #expect(String(decoding: try await client.frame().payload, as: UTF8.self) == #"{"status":"Waking."}"#)
                client.finishSending()
                _ = try await client.readToEnd()
            }
        }
    }

    @Test func anErrorIsToldAndClosedWith1011() async throws {
        try await withGateway(Self.operations { _ in }) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await open(client)
                let text = String(decoding: try await client.frame().payload, as: UTF8.self)
                #expect(text.contains(#""code":"vm_failed""#) && text.contains("Destroy it."), "\(text)")
                #expect(try await client.closing() == 1011)
                try await client.expectEnd()
            }
        }
    }

    @Test func aShutdownClosesWith1001() async throws {
        try await withGateway(Self.operations(Self.endless)) { port, shutDown in
            try await RawClient.connected(to: port) { client in
                try await open(client)
                _ = try await client.frame()
                await shutDown()
                #expect(try await client.closing() == 1001)
                try await client.expectEnd()
            }
        }
    }

    @Test(arguments: [
        ([String](), "426", "upgrade_required"),
        (["Upgrade: h2c", "Connection: Upgrade"], "426", "upgrade_required"),
        (Array(handshake.map { $0.replacing("13", with: "8") }), "426", "upgrade_required"),
        (Array(handshake.dropLast()), "422", "invalid_request"),
        (Array(handshake.dropLast()) + ["Sec-WebSocket-Key: short"], "422", "invalid_request"),
    ])
    func whatIsNoHandshakeIsRefused(headers: [String], status: String, code: String) async throws {
        try await withGateway(Self.operations(Self.endless)) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("GET", Self.path, headers)
                let (head, body) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 \(status)") && body.contains(code), "\(head)\(body)")
                if status == "426" {
                    #expect(head.lowercased().contains("sec-websocket-version: 13"), "\(head)")
                }
            }
        }
    }

    @Test func whoMayNotIsRefusedBefore() async throws {
        var operations = Self.operations(Self.endless)
        operations.sessions = SessionOperations(
            beginWithToken: { _, _ in nil }, beginWithCode: { _, _ in nil },
            authenticate: { $0 == "good" ? GatewayOperations.caller : nil }, end: { _, _ in }, name: { _ in "x" })
        try await withGateway(operations) { port, _ in
            for (extra, status, code) in [
                (["Authorization: Bearer mlt_bad"], "401", "unauthenticated"), ([], "401", "unauthenticated"),
                (["Cookie: martlet_session=good"], "403", "cross_site"),
                (["Cookie: martlet_session=good", "Origin: http://evil.example"], "403", "cross_site"),
                (["Cookie: martlet_session=good", "Sec-Fetch-Site: cross-site"], "403", "cross_site"),
                (["Cookie: martlet_session=good", "Origin: http://x"], "101", ""),
                (["Authorization: Bearer mlt_good", "Origin: http://evil.example"], "101", ""),
            ] {
                try await RawClient.connected(to: port) { client in
                    let lines = ["GET \(Self.path) HTTP/1.1", "Host: x"] + extra + Self.handshake
                    try await client.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
                    let head = try await client.read(until: "\r\n\r\n")
                    #expect(head.hasPrefix("HTTP/1.1 \(status)"), "\(extra): \(head)")
                    if !code.isEmpty { try await client.read(until: code) }
                }
            }
            try await RawClient.connected(to: port) { client in
                try await client.request("GET", "/v1/terminals/terminal-1/socket", Self.handshake)
                let (head, body) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 404") && body.contains("terminal_not_found"))
            }
        }
    }

    @Test func thereAreSoManyAndNoMore() async throws {
        try await withGateway(Self.operations(Self.endless)) {
            $0.webSockets.ofOneCaller = 1
        } _: { port, _ in
            try await RawClient.connected(to: port) { first in
                try await open(first)
                _ = try await first.frame()
                try await RawClient.connected(to: port) { second in
                    try await second.request("GET", Self.path, Self.handshake)
                    let (head, body) = try await second.response()
                    #expect(head.hasPrefix("HTTP/1.1 429") && body.contains("too_many_sockets"), "\(head)")
                }
            }
            try await eventually(describing: "the place is free again") {
                var head = ""
                try await RawClient.connected(to: port) { third in
                    try await third.request("GET", Self.path, Self.handshake)
                    head = try await third.read(until: "\r\n\r\n")
                }
                return head.hasPrefix("HTTP/1.1 101")
            }
        }
    }
}

extension RawClient {
    /// The next frame of the server.
    func frame() async throws -> (opcode: UInt8, payload: [UInt8]) {
        let head = try await read(bytes: 2)
        var length = Int(head[1])
        if length >= 126 {
            length = try await read(bytes: length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
        }
        return (head[0] & 0x0F, try await read(bytes: length))
    }

    /// The code of the next frame, which closes.
    func closing() async throws -> Int {
        let (opcode, payload) = try await frame()
        #expect(opcode == 8, "\(String(decoding: payload, as: UTF8.self))")
        return payload.count < 2 ? 0 : Int(payload[0]) << 8 | Int(payload[1])
    }

    func send(_ frame: WebSocketFrame) async throws { try await send(frame.encoded(mask: .random(in: 1...(.max)))) }
}
