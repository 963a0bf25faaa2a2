import EventLoop
import Execution
import Fleet
import Foundation
import Redis
import Synchronization
import TestSupport
import Testing

@testable import Gateway

/// The API over a real Fleet and Execution; no worker, so no VM ever runs.
@Suite(LiveRedis()) struct LiveTests {
    struct Bench {
        let port: Int
        let fleet: Fleet
        let token: String
        let strangersToken: String

        /// One request on a connection of its own.
        func call(
            _ method: String, _ path: String, token: String? = nil, accept: String? = nil, body: String? = nil,
            headers: [String: String] = [:]
        ) async throws -> (status: Int, json: [String: Any], text: String, head: String) {
            var answer: (Int, [String: Any], String, String) = (0, [:], "", "")
            try await RawClient.connected(to: port) { client in
                var lines = [
                    "\(method) \(path) HTTP/1.1", "Host: x", "Authorization: Bearer \(token ?? self.token)",
                    "Content-Length: \(body?.utf8.count ?? 0)", "Connection: close",
                ]
                if let accept { lines.append("Accept: \(accept)") }
                lines += headers.map { "\($0.key): \($0.value)" }
                try await client.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
                let head = try await client.read(until: "\r\n\r\n")
                let rest = try await client.readToEnd()
                let text = head.lowercased().contains("transfer-encoding: chunked") ? unchunked(rest).data : rest
                let json = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
                answer = (Int(head.split(separator: " ")[1]) ?? 0, json ?? [:], text, head)
            }
            return answer
        }
    }

    func withBench(
        _ configure: (inout GatewayConfiguration) -> Void = { _ in }, _ body: (Bench) async throws -> Void
    ) async throws {
        try await withFleet { fleet, prefix in
            var tokens: [String] = []
            for name in ["owner", "stranger"] {
                let user = try await fleet.users.create(name: name, by: .system("test"))
                tokens.append(try await fleet.tokens.create(for: user.id, name: "first", by: .system("test")).token)
            }
            var configuration = ExecutionConfiguration(gatewayID: prefix, provider: "local")
            configuration.provisionTimeout = .milliseconds(300)
            configuration.runnerInVM = RunnerServer.program
            let execution = try executionService(fleet, configuration)
            try await withGateway(
                .live(
                    execution: execution, fleet: fleet, provider: "local", providers: ["local"],
                    catalog: { Offer() }),
                configure
            ) { port, _ in
                try await body(Bench(port: port, fleet: fleet, token: tokens[0], strangersToken: tokens[1]))
            }
        }
    }

    @Test func aTokenIsMadeUsedAndRevoked() async throws {
        try await withBench { bench in
            let made = try await bench.call("POST", "/v1/tokens", body: #"{"name":"laptop","expiresInSeconds":3600}"#)
            #expect(made.status == 201)
            let token = try #require(made.json["token"] as? String)
            let id = try #require(made.json["id"] as? String)
            #expect(made.json["revokedAt"] is NSNull && made.json["scopes"] as? [String] == ["user"])
            #expect(try await bench.call("GET", "/v1/vm", token: token).status == 200)
            let listed = try await bench.call("GET", "/v1/tokens")
            let names = (listed.json["tokens"] as? [[String: Any]])?.compactMap { $0["name"] as? String }
            #expect(names == ["laptop", "first"])
            #expect((listed.json["tokens"] as? [[String: Any]])?.allSatisfy { $0["token"] == nil } == true)

            #expect(try await bench.call("DELETE", "/v1/tokens/\(id)", token: bench.strangersToken).status == 404)
            #expect(try await bench.call("DELETE", "/v1/tokens/\(id)").status == 204)
            #expect(try await bench.call("GET", "/v1/vm", token: token).status == 401)
            let body = #"{"name":"root","scopes":["admin"]}"#
            #expect(try await bench.call("POST", "/v1/tokens", body: body).status == 403)
        }
    }

    @Test func aVMIsAskedForAndShown() async throws {
        try await withBench { bench in
            #expect(try await bench.call("GET", "/v1/vm").json["vm"] is NSNull)
            #expect(try await bench.call("POST", "/v1/vm/stop").status == 404)
            let made = try await bench.call("POST", "/v1/vm")
            #expect(made.status == 202)
            let vm = try #require(made.json["vm"] as? [String: Any])
            #expect(vm["state"] as? String == "provisioning" && vm["status"] as? String == "provisioning")
            #expect(vm["tier"] as? String == "free" && vm["memoryMb"] as? Int == 4_096 && vm["startedAt"] is NSNull)
            let again = try await bench.call("POST", "/v1/vm/start")  // already on its way
            #expect((again.json["vm"] as? [String: Any])?["id"] as? String == vm["id"] as? String)
            #expect(try await bench.call("POST", "/v1/vm/stop").status == 409)
            #expect(try await bench.call("GET", "/v1/vm", token: bench.strangersToken).json["vm"] is NSNull)
        }
    }

    @Test(arguments: [
        (#"{"language":"klingon","code":""}"#, 422, "unknown_language", "python"),
        (
            #"{"language":"python","code":"","files":[{"path":"../x","content":""}]}"#, 422, "invalid_request",
            "files[0].path"
        ),
        (
            #"{"language":"python","code":"","files":[{"path":"/x","content":""}]}"#, 422, "invalid_request",
            "files[0].path"
        ),
        (#"{"language":"python","code":"","limits":{"memoryMb":0}}"#, 422, "invalid_request", "limits.memoryMb"),
        (#"{"language":"python","code":"","timeoutMs":-1}"#, 422, "invalid_request", "timeoutMs"),
        (#"{"language":"python","code":"","timeoutMs":300001}"#, 422, "limit_exceeded", "timeoutMs"),
        (#"{"language":"python","code":"","env":{"A":"\u0000"}}"#, 422, "invalid_request", "env.A"),
        (#"{"language":"python","code":"","args":["\u0000"]}"#, 422, "invalid_request", "args[0]"),
        (
            #"{"language":"python","code":"","environment":"env_00000000"}"#, 404, "environment_not_found",
            "env_00000000"
        ),
    ])
    func whatCannotRunIsRefusedBeforeTheHead(body: String, status: Int, code: String, names: String) async throws {
        try await withBench { bench in
            let answer = try await bench.call("POST", "/v1/execute", body: body)
            let error = try #require(answer.json["error"] as? [String: String])
            #expect(answer.status == status && error["code"] == code)
            #expect("\(error["message"] ?? "") \(error["hint"] ?? "")".contains(names))
            // Nothing was made for it.
            #expect(try await bench.call("GET", "/v1/vm").json["vm"] is NSNull)
        }
    }

    @Test func aRunWithoutAWorkerSaysWhatItWaitedForAndIsInTheHistory() async throws {
        try await withBench { bench in
            let body = #"{"language":"python","code":"print(1)\u0000"}"#
            let buffered = try await bench.call("POST", "/v1/execute", accept: "application/json", body: body)
            #expect(buffered.status == 504)
            let error = try #require(buffered.json["error"] as? [String: String])
            #expect(error["code"] == "vm_start_timeout" && error["message"]?.contains("provision-") == true)

            let streamed = try await bench.call("POST", "/v1/execute", body: body)
            let lines = streamed.text.split(separator: "\n")
            #expect(streamed.status == 200 && streamed.head.lowercased().contains("martlet-execution-id: "))
            #expect(lines.last?.hasPrefix(#"{"event":"error","code":"vm_start_timeout""#) == true)

            let page = try await bench.call("GET", "/v1/executions?limit=1")
            let listed = try #require(page.json["executions"] as? [[String: Any]])
            let id = try #require(listed.first?["id"] as? String)
            #expect(listed.count == 1 && listed[0]["state"] as? String == "failed" && listed[0]["code"] == nil)
            let next = try await bench.call("GET", "/v1/executions?before=\(id)")
            #expect((next.json["executions"] as? [[String: Any]])?.count == 1)
            let shown = try await bench.call("GET", "/v1/executions/\(id)")
            let execution = try #require(shown.json["execution"] as? [String: Any])
            #expect(
                execution["code"] as? String == "print(1)\0" && execution["errorCode"] as? String == "vm_start_timeout")

            for (method, path) in [("GET", id), ("DELETE", id), ("POST", "\(id)/stdin?end=1")] {
                let foreign = try await bench.call(method, "/v1/executions/\(path)", token: bench.strangersToken)
                #expect(foreign.status == 404, "\(method) of somebody else's")
            }
            #expect(try await bench.call("DELETE", "/v1/executions/\(id)").status == 409)  // it has ended
        }
    }

    @Test func theProvisionLogIsShownAndFollowed() async throws {
        try await withBench { bench in
            let user = try #require(try await bench.fleet.authenticator.authenticate(bench.token)).userID
            await bench.fleet.provisionLog.append(user, .info, "made \"it\"")
            let logs = try await bench.call("GET", "/v1/vm/logs").json["logs"] as? [[String: String]]
            #expect(logs?.map { $0["message"] } == ["made \"it\""])
            try await RawClient.connected(to: bench.port) { client in
                try await client.send(
                    "GET /v1/vm/logs?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \(bench.token)\r\n\r\n")
                try await client.read(until: "event: log\ndata: {\"level\":\"info\",\"message\":\"made \\\"it\\\"\"")
                await bench.fleet.provisionLog.append(user, .error, "broke it")
                try await client.read(until: "event: log\ndata: {\"level\":\"error\",\"message\":\"broke it\"")
            }
        }
    }

    @Test func runtimesAndReadinessAreTold() async throws {
        try await withBench { bench in
            let runtimes = try await bench.call("GET", "/v1/runtimes").json["runtimes"] as? [[String: Any]]
            #expect(runtimes?.contains { $0["name"] as? String == "python" } == true)
            #expect(try await bench.call("GET", "/readyz").status == 200)
            await bench.fleet.redis.close()
            let answer = try await bench.call("GET", "/readyz")
            let error = answer.json["error"] as? [String: String]
            #expect(answer.status == 503 && error?["message"]?.contains("redis") == true)
        }
    }
}
