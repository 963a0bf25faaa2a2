import EventLoop
import Fleet
import Foundation
import Testing

@testable import Gateway

/// What HTTP asks of a server, as a client with a socket sees it.
@Suite struct ProtocolTests {
    @Test func errorsHaveTheirFormAndTheRequestsID() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                for (request, status, code, extra) in [
                    ("GET /nowhere HTTP/1.1\r\nHost: x\r\n", "404 Not Found", "route_not_found", "x-request-id: req_"),
                    (
                        "PUT /healthz HTTP/1.1\r\nHost: x\r\n", "405 Method Not Allowed", "method_not_allowed",
                        "allow: GET, HEAD, OPTIONS"
                    ),
                    (
                        "GET /v1/vm HTTP/1.1\r\nHost: x\r\n", "401 Unauthorized", "unauthenticated",
                        "www-authenticate: Bearer"
                    ),
                    (
                        "GET /v1/vm HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mlt_bad\r\n", "401 Unauthorized",
                        "unauthenticated", "error=\"invalid_token\""
                    ),
                    (
                        "GET /v1/vm HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eA==\r\n", "401 Unauthorized",
                        "unauthenticated", "www-authenticate: Bearer"
                    ),
                    (
                        "GET /v1/executions/zz HTTP/1.1\r\nHost: x\r\nAuthorization: bearer mlt_good\r\n",
                        "404 Not Found", "execution_not_found", "date: "
                    ),
                    (
                        "GET /v1/executions?limit=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mlt_good\r\n",
                        "422 Unprocessable", "invalid_request", "server: martlet"
                    ),
                    (
                        "POST /v1/vm HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer mlt_good\r\n",
                        "503 Service Unavailable", "service_unavailable", "retry-after: 1"
                    ),
                ] {
                    try await client.send(request + "X-Request-Id: my-1\r\n\r\n")
                    let (head, body) = try await client.response()
                    #expect(head.hasPrefix("HTTP/1.1 \(status)"), "\(head)")
                    #expect(head.lowercased().contains(extra.replacing("req_", with: "my-1").lowercased()), "\(head)")
                    let json = try #require(
                        try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: [String: String]])
                    let error = try #require(json["error"])
                    #expect(error["code"] == code && error["requestId"] == "my-1")
                    #expect(error["message"]?.isEmpty == false && error["hint"]?.isEmpty == false)
                }
            }
        }
    }

    @Test func headAndOptionsAreAnswered() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.send(
                    "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS /v1/execute HTTP/1.1\r\nHost: x\r\n\r\n")
                let head = try await client.read(until: "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 200") && head.lowercased().contains("content-length: 16"), "\(head)")
                let options = try await client.read(until: "\r\n\r\n")
                #expect(
                    options.hasPrefix("HTTP/1.1 204") && options.lowercased().contains("allow: post, options"),
                    "\(options)")
                try await client.request("GET", "/healthz")
                #expect(try await client.response().body == "{\"status\":\"ok\"}\n")
            }
        }
    }

    @Test(arguments: [
        (["Content-Length: 5000"], "", "413"),  // refused before it comes
        (["Transfer-Encoding: chunked"], "fff\r\n" + String(repeating: "x", count: 4_095) + "\r\n", "413"),
        (["Content-Length: 5000", "Expect: 100-continue"], "", "413"),
        (["Content-Length: 2", "Content-Type: text/xml"], "{}", "415"),
        (["Content-Length: 2", "Accept: image/png"], "{}", "406"),
        (["Content-Length: 3", "Content-Type: application/json; charset=utf-8"], "{x}", "400"),
        (["Content-Length: 2", "Content-Type: application/x-www-form-urlencoded"], "{}", "422"),
    ])
    func bodiesAreRefusedWithoutWaitingForThem(headers: [String], body: String, status: String) async throws {
        try await withGateway(.refusing) {
            $0.bodyLimit = 1_000
        } _: { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/execute", headers)
                try await client.send(body)
                let (head, text) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 \(status)"), "\(head)")
                if status == "413" {
                    #expect(text.contains("at most 1000"), "\(text)")
                    try await client.expectEnd()  // closed: the rest will not be read
                } else {
                    try await client.request("GET", "/healthz")
                    #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                }
            }
        }
    }

    /// A length of less than is sent: the rest is the next request, and none that we know.
    @Test func aLyingLengthHangsNothing() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/execute", ["Content-Length: 2"])
                try await client.send("{}garbage that is no request\r\n\r\n")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 422"))
                let (head, body) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 400") && body.contains("not an HTTP/1.1 request"), "\(head)")
                try await client.expectEnd()
            }
            // One of more than is sent: the body times out.
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/execute", ["Content-Length: 10"])
                try await client.send("{}")
                client.finishSending()
                try await client.expectEnd()
            }
        }
    }

    @Test func slowClientsAreTimedOut() async throws {
        try await withGateway(.refusing) {
            $0.headerTimeout = .milliseconds(100)
            $0.idleTimeout = .milliseconds(300)
            $0.bodyTimeout = .milliseconds(100)
            $0.lingerTimeout = .milliseconds(100)
        } _: { port, _ in
            try await RawClient.connected(to: port) { client in  // a head that trickles
                try await client.send("GET /healthz HTTP/1.1\r\nHo")
                let (head, _) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 408"), "\(head)")
                try await client.expectEnd()
                try await client.expectReset()
            }
            try await RawClient.connected(to: port) { client in  // no head at all
                try await client.send("\u{16}\u{3}\u{1} garbage\r\n\r\n")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 400"))
                try await client.expectEnd()
                try await client.expectReset()
            }
            try await RawClient.connected(to: port) { client in  // a body that does not come
                try await client.request("POST", "/v1/execute", ["Content-Length: 10"])
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 408"))
            }
            try await RawClient.connected(to: port) { client in  // nothing at all
                try await client.expectEnd()
            }
            try await RawClient.connected(to: port) { client in  // nothing after an answer
                try await client.request("GET", "/healthz")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                try await client.expectEnd()
            }
        }
    }

    @Test func aClientThatWaitsForContinueIsToldTo() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/execute", ["Expect: 100-continue", "Content-Length: 2"])
                #expect(try await client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 100"))
                try await client.send("{}")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 422"))
                try await client.request("GET", "/healthz")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
            }
        }
    }

    @Test func anUpgradeNobodyKnowsIsAnsweredAndTheConnectionClosed() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("GET", "/healthz", ["Connection: Upgrade", "Upgrade: h2c"])
                let (head, _) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 200") && head.lowercased().contains("connection: close"), "\(head)")
                try await client.expectEnd()
            }
        }
    }

    @Test func readinessNamesWhatIsNotReachable() async throws {
        var operations = GatewayOperations.refusing
        operations.unreachable = { ["redis": "connection refused"] }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                let (head, body) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 503") && body.contains("redis: connection refused"), "\(head)\(body)")
            }
        }
    }
}
