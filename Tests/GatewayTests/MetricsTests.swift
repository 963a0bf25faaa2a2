import Fleet
import Testing

@testable import Gateway

/// `/metrics`: what is counted, and who may look.
@Suite struct MetricsTests {
    @Test func requestsAreCountedByTemplateAndNothingTheClientChose() async throws {
        try await withGateway(.refusing) { port, _ in
            try await RawClient.connected(to: port) { client in
                for path in ["/v1/executions/a", "/v1/executions/b", "/nowhere/secret"] {
                    try await client.request("GET", path)
                    #expect(try await client.response().head.hasPrefix("HTTP/1.1 404"))
                }
                try await client.request("PROPFIND", "/v1/vm")
                _ = try await client.response()
                try await client.request("GET", "/metrics")
                let (head, text) = try await client.response()
                #expect(head.lowercased().contains("content-type: text/plain; version=0.0.4"), "\(head)")
                for line in [
                    #"martlet_http_requests_total{method="GET",route="/v1/executions/{id}",status="404"} 2"#,
                    #"martlet_http_requests_total{method="GET",route="none",status="404"} 1"#,
                    #"martlet_http_requests_total{method="other",route="none",status="405"} 1"#,
                    #"martlet_http_request_seconds_count{route="/v1/executions/{id}"} 2"#,
                ] {
                    #expect(text.contains(line + "\n"), "\(line) is not in:\n\(text)")
                }
                #expect(!text.contains("secret"))
            }
        }
    }

    @Test func callsOfTRPCAreCountedByProcedureAndOutcome() async throws {
        try await withTRPC { client in
            _ = try await client.trpc("GET", "vm.getMyVm,vm.getMyVm,vm.getAllVms,vm.secret?batch=1&input=%7B%7D")
            _ = try await client.trpc("POST", "vm.executeCode", body: #"{"code":""}"#)
            _ = try await client.openTRPC("GET", "vm.executeCodeStream?input=" + escaped(#"{"command":"true"}"#))
            _ = try await client.streamToEnd()
            try await client.request("GET", "/metrics")
            let text = try await client.response().body
            for (procedure, outcome, count) in [
                ("vm.getMyVm", "ok", 2), ("vm.getAllVms", "FORBIDDEN", 1), ("none", "NOT_FOUND", 1),
                ("vm.executeCode", "BAD_REQUEST", 1), ("vm.executeCodeStream", "SERVICE_UNAVAILABLE", 1),
            ] {
                let line = "martlet_trpc_calls_total{procedure=\"\(procedure)\",outcome=\"\(outcome)\"} \(count)\n"
                #expect(text.contains(line), "\(line) is not in:\n\(text)")
            }
            #expect(text.contains("martlet_trpc_call_seconds_count{procedure=\"vm.getMyVm\"} 2\n"))
            #expect(!text.contains("vm.secret"))
        }
    }

    @Test(arguments: [
        (MetricsAccess.loopback, [String](), "200"), (.loopback, ["X-Forwarded-For: 192.0.2.1"], "403"),
        (.loopback, ["Via: 1.1 proxy"], "403"), (.admin, [], "403"), (.anyone, ["Via: 1.1 proxy"], "200"),
    ])
    func figuresAreForWhoMaySeeThem(access: MetricsAccess, headers: [String], status: String) async throws {
        var operations = GatewayOperations.refusing
        operations.authenticate = { token in
            token == "mlt_admin"
                ? Caller(userID: UserID(), tokenID: TokenID(), role: .admin, scopes: [.admin], tier: .free)
                : GatewayOperations.caller
        }
        try await withGateway(operations) {
            $0.metricsAccess = access
        } _: { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("GET", "/metrics", headers)  // a user's token
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 \(status)"))
                let lines = ["GET /metrics HTTP/1.1", "Host: x", "Authorization: Bearer mlt_admin"] + headers
                try await client.send(lines.joined(separator: "\r\n") + "\r\n\r\n")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                try await client.send(
                    (["GET /metrics HTTP/1.1", "Host: x"] + headers).joined(separator: "\r\n") + "\r\n\r\n")
                let anonymous = try await client.response().head
                #expect(anonymous.hasPrefix("HTTP/1.1 \(status == "200" ? "200" : "401")"), "\(anonymous)")
            }
        }
    }
}
