import EventLoop
import Foundation
import TestSupport
import Testing
import WebSocket

@testable import Execution
@testable import Fleet
@testable import Gateway

extension LiveTests {
    /// `/v1/terminals` over a real sshd and the real holder.
    @Suite(LiveSSHD()) struct TerminalTests {
        @Test func aShellOutlivesItsConnectionAndIsTakenOver() async throws {
            try await withVM { bench, environment in
                let made = try await bench.call(
                    "POST", "/v1/terminals", body: #"{"rows":30,"columns":100,"command":"exec bash --norc -i"}"#)
                #expect(made.status == 201, "\(made.text)")
                let id = try #require((made.json["terminal"] as? [String: Any])?["id"] as? String)
                #expect(try await names(bench) == [id])
                #expect(
                    try await bench.call("GET", "/v1/terminals", token: bench.strangersToken).text
                        .contains(#""terminals":[]"#))

                try await RawClient.connected(to: bench.port) { client in
                    try await open(client, bench, id, "?rows=31&columns=101")
                    try await eventually(describing: "the VM is held awake") {
                        try await bench.fleet.sessions.count(on: environment) == 1
                    }
                    try await client.send(.binary(Array("KEPT=here; stty size; echo $((6*7))-é\n".utf8)))
                    try await expect("31 101\r\n42-é", client)
                    try await client.send(.text(#"{"resize":{"rows":40,"columns":120}}"#))
                    try await client.send(.binary(Array("stty size; kill -0 $$ && echo al''ive\n".utf8)))
                    try await expect("40 120\r\nalive", client)
                    try await client.reset()
                }
                try await eventually(describing: "the VM is let go") {
                    try await bench.fleet.sessions.count(on: environment) == 0
                }
                try await RawClient.connected(to: bench.port) { second in
                    try await open(second, bench, id)
                    try await expect("alive", second)  // what it printed before
                    try await second.send(.binary(Array("echo still $KEPT\n".utf8)))
                    try await expect("still here", second)
                    try await RawClient.connected(to: bench.port) { third in
                        try await open(third, bench, id)
                        try await expect("still here", third)
                        var closing = try await second.frame()
                        while closing.opcode != 8 { closing = try await second.frame() }
                        #expect(closing.payload.prefix(2) == [0x0F, 0xA1], "4001")
                        try await third.send(.binary(Array("exit 3\n".utf8)))
                        try await expect(#"{"exit":{"exitCode":3,"signal":null}}"#, third)
                        #expect(try await third.closing() == 1000)
                    }
                }
                try await eventually(describing: "it is gone") { try await names(bench).isEmpty }
                let gone = try await bench.call("DELETE", "/v1/terminals/\(id)")
                #expect(gone.status == 404 && gone.text.contains("terminal_not_found"), "\(gone.text)")
            }
        }

        @Test func allOfALotOfOutputComesInOrder() async throws {
            try await withVM { bench, _ in
                try await RawClient.connected(to: bench.port) { client in
                    try await open(client, bench, "lots-of-output", "?create=1")
                    try await client.send(.binary(Array("stty -echo; seq -w 1 400000; :\n".utf8)))
                    var (text, next) = ([UInt8](), 1)
                    while next <= 400_000 {
                        let (opcode, payload) = try await client.frame()
                        guard opcode == 2 else { continue }
                        text += payload
                        var start = 0
                        while let end = text[start...].firstIndex(of: 10) {
                            // Six digits and CR; before the first the shell may have printed something.
                            let line = String(decoding: text[start..<end].suffix(7).dropLast(), as: UTF8.self)
                            start = end + 1
                            guard let number = Int(line), line.utf8.count == 6 else { continue }
                            try #require(number == next)
                            next += 1
                        }
                        text.removeSubrange(..<start)
                    }
                }
                #expect(try await bench.call("DELETE", "/v1/terminals/lots-of-output").status == 204)
                #expect(try await names(bench).isEmpty)
            }
        }

        @Test func noMoreThanAWindowComesUntilItIsTaken() async throws {
            try await withVM { bench, _ in
                try await RawClient.connected(to: bench.port) { client in
                    try await open(client, bench, "with-window", "?create=1&window=8192")
                    try await expect(#""window":8192"#, client)
                    try await client.send(.binary(Array("stty -echo; echo be''gin; exec yes\n".utf8)))
                    // Nothing is taken: so much comes, and no more, of a program that never stops by itself.
                    var received = 0
                    while received < 8_192 {
                        let (opcode, payload) = try await client.frame()
                        if opcode == 2 { received += payload.count }
                    }
                    #expect(received == 8_192)
                    // What is typed goes past it, and what is taken lets as much come.
                    for taken in [8_192, 1_000, 4_096] {
                        try await client.send(.text(#"{"taken":\#(taken)}"#))
                        var more = 0
                        while more < taken {
                            let (opcode, payload) = try await client.frame()
                            if opcode == 2 { more += payload.count }
                        }
                        #expect(more == taken)
                    }
                    try await client.send(.binary([3]))
                    try await client.send(.text(#"{"taken":8192}"#))
                    var last = [UInt8]()
                    while last.firstRange(of: Array(#"{"exit":{"exitCode":null,"signal":"SIGINT"}}"#.utf8)) == nil {
                        let (opcode, payload) = try await client.frame()
                        try #require(opcode != 8, "\(String(decoding: last, as: UTF8.self))")
                        last += payload
                        if opcode == 2, !payload.isEmpty {
                            try await client.send(.text(#"{"taken":\#(payload.count)}"#))
                        }
                    }
                    #expect(last.count < 64_000, "\(last.count) bytes came after the interrupt")
                }
                // More than came cannot be taken.
                try await RawClient.connected(to: bench.port) { client in
                    try await open(client, bench, "with-window", "?create=1&window=8192")
                    try await expect(#""window":8192"#, client)
                    try await client.send(.text(#"{"taken":9000}"#))
                    var closing = try await client.frame()
                    while closing.opcode != 8 { closing = try await client.frame() }
                    #expect(closing.payload.prefix(2) == [0x03, 0xEB], "1003")
                }
                #expect(try await bench.call("DELETE", "/v1/terminals/with-window").status == 204)
            }
        }

        @Test func whatIsSaidWrongClosesItAndTheShellLivesOn() async throws {
            try await withVM { bench, _ in
                for (frame, code) in [
                    (WebSocketFrame.text("x"), 1003), (.text(#"{"resize":{"rows":0,"columns":1}}"#), 1003),
                    (.text(#"{"taken":1}"#), 1003), (.text("{}"), 1003),
                    (WebSocketFrame(.text, [0xFF]), 1007), (WebSocketFrame(.continuation, []), 1002),
                    (WebSocketFrame(.binary, [UInt8](repeating: 0, count: (1 << 20) + 1)), 1009),
                ] {
                    try await RawClient.connected(to: bench.port) { client in
                        try await open(client, bench, "said-wrong", "?create=1")
                        try await client.send(frame)
                        var last = try await client.frame()
                        while last.opcode != 8 { last = try await client.frame() }
                        #expect(last.payload.prefix(2).reduce(0) { $0 << 8 | Int($1) } == code)
                    }
                }
                #expect(try await names(bench) == ["said-wrong"])
                #expect(try await bench.call("DELETE", "/v1/terminals/said-wrong").status == 204)
                for path in ["/v1/terminals/SHOUTING", "/v1/terminals/a%3Bb-c-d-e-f", "/v1/terminals/none-of-it"] {
                    #expect(try await bench.call("DELETE", path).status == 404, "\(path)")
                }
                #expect(try await bench.call("POST", "/v1/terminals", body: #"{"rows":0}"#).status == 422)
            }
        }

        // MARK: The bench

        private func open(_ client: RawClient, _ bench: Bench, _ id: String, _ query: String = "") async throws {
            try await client.send(
                """
                GET /v1/terminals/\(id)/socket\(query) HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(bench.token)\r\n\
                Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
                """)
            let head = try await client.read(until: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 101 "), "\(head)")
        }

        private func expect(_ text: String, _ client: RawClient) async throws {
            var seen: [UInt8] = []
            while seen.firstRange(of: Array(text.utf8)) == nil {
                let (opcode, payload) = try await client.frame()
                try #require(opcode != 8, "closed before '\(text)': \(String(decoding: seen, as: UTF8.self))")
                seen += payload
            }
        }

        private func names(_ bench: Bench) async throws -> [String] {
            let list = try await bench.call("GET", "/v1/terminals")
            return (list.json["terminals"] as? [[String: Any]])?.compactMap { $0["id"] as? String } ?? [list.text]
        }

        private func withVM(
            _ body: @Sendable @escaping (Bench, EnvironmentID) async throws -> Void
        ) async throws {
            try await LiveTests().withBench { bench in
                let made = try await bench.call("POST", "/v1/vm")
                let shown = (made.json["vm"] as? [String: Any])?["id"] as? String
                let id = try #require(shown.flatMap { EnvironmentID($0) })
                let environment = try #require(try await bench.fleet.environments.find(id))
                try await environment.pretendsToRun(in: bench.fleet, at: LiveSSHD.server.endpoint)
                try await body(bench, id)
            }
        }
    }
}
