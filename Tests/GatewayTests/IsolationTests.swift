import Cryptography
import Foundation
import JobQueue
import PostgreSQL
import SSH
import TestSupport
import Testing

@testable import Fleet
@testable import Gateway

extension LiveTests {
    /// What is one user's, against another who knows the names of all of it.
    @Suite(LiveSSHD()) struct IsolationTests {
        /// Every operation of the document and every procedure, called by a stranger while the owner's program runs.
        @Test func nobodyReachesWhatIsAnothers() async throws {
            try await LiveTests().withBench { bench in
                try await Belongings.with(bench) { owner in
                    let named = try await callEverything(owner)
                    #expect(named >= 25, "operations that name what is another's")
                    try await callEveryProcedure(owner)

                    let path = "/v1/environments/\(owner.slug)"
                    let after = try await bench.call("GET", path).json["environment"] as? [String: Any]
                    #expect(after?["name"] as? String == "secret-name" && after?["state"] as? String == "running")
                    let lines = try await bench.call("GET", path + "/audit").json["audit"] as? [[String: Any]]
                    #expect(
                        lines?.contains { $0["errorCode"] as? String == "forbidden" } == true,
                        "the owner sees who tried")
                }
            }
        }

        /// Returns how many calls named something of the owner's.
        private func callEverything(_ owner: Belongings) async throws -> Int {
            let document = try await owner.bench.call("GET", "/openapi.json").json
            let paths = try #require(document["paths"] as? [String: [String: Any]])
            var named = 0
            for (path, methods) in paths.sorted(by: { $0.key < $1.key }) where path.hasPrefix("/v1/") {
                for (method, operation) in methods.sorted(by: { $0.key < $1.key }) {
                    let method = method.uppercased()
                    let parameters = (operation as? [String: Any])?["parameters"] as? [[String: Any]] ?? []
                    for target in owner.targets(of: path, query: parameters.filter { $0["in"] as? String == "query" }) {
                        for body in owner.bodies["\(method) \(path)"] ?? [path.contains("/admin") ? "{}" : nil] {
                            let answer = try await owner.bench.call(
                                method, target, token: owner.bench.strangersToken, accept: "application/json",
                                body: body)
                            let said = "\(method) \(target): \(answer.text)"
                            let code = (answer.json["error"] as? [String: Any])?["code"] as? String
                            if path.hasPrefix("/v1/admin") {
                                #expect(answer.status == 403 && code == "forbidden", "\(said)")
                                named += 1
                            } else if path.contains("{") || owner.isNamed(in: body) {
                                #expect(answer.status == 404, "\(said)")
                                named += 1
                            }
                            owner.expectNothing(in: answer.text, beyond: target + (body ?? ""), of: said)
                        }
                    }
                }
            }
            return named
        }

        private func callEveryProcedure(_ owner: Belongings) async throws {
            let procedures =
                VMProcedures(operations: .refusing).all
                + RunProcedures(
                    operations: .refusing, configuration: GatewayConfiguration(), budget: BufferBudget(bytes: 0)
                ).all
            for procedure in procedures {
                for input in owner.inputs(of: procedure.kind) {
                    var path = "/api/trpc/" + procedure.path
                    if procedure.kind != .mutation { path += "?input=" + escaped(input) }
                    let answer = try await owner.bench.call(
                        procedure.kind == .mutation ? "POST" : "GET", path, token: owner.bench.strangersToken,
                        body: procedure.kind == .mutation ? input : nil, headers: ["Content-Type": "application/json"])
                    let said = "\(procedure.path) \(input): \(answer.text)"
                    switch (procedure.access, procedure.path) {
                    case (.admin, _): #expect(answer.status == 403 && answer.text.contains("FORBIDDEN"), "\(said)")
                    case (.user, "vm.executeCode"): #expect(answer.status == 404, "\(said)")
                    case (.user, "vm.executeCodeStream"):
                        #expect(
                            answer.text.contains("serialized-error") && answer.text.contains("NOT_FOUND"), "\(said)")
                    case (.user, _): break  // knows the caller's own only, and takes no name
                    }
                    owner.expectNothing(in: answer.text, beyond: input, of: said)
                }
            }
        }
    }
}

/// One of everything a user can have: an environment that runs, a program that runs in it, its history and log, a token,
/// and what an admin would call them.
private struct Belongings {
    let bench: LiveTests.Bench
    let slug: String
    /// What stands in a path or query, by the parameter's name, and the part of the path before it where the name alone
    /// does not say what it is.
    let names: [String: [String]]
    let secrets: Set<String>

    private static let secretCode = "echo secret-code; cat; echo untouched"

    /// Lends them to `body`, and sees afterwards that the program has run on undisturbed.
    static func with(
        _ bench: LiveTests.Bench, _ body: @Sendable @escaping (Belongings) async throws -> Void
    ) async throws {
        let made = try await bench.call(
            "POST", "/v1/environments", body: #"{"name":"secret-name","environmentVars":{"SECRET_NAME":"v"}}"#)
        let shown = try #require(made.json["environment"] as? [String: Any], "\(made.text)")
        let id = try #require((shown["id"] as? String).flatMap { EnvironmentID($0) })
        let environment = try #require(try await bench.fleet.environments.find(id))
        await bench.fleet.provisionLog.append(environment.userID, of: id, .info, "secret-line")
        try await RunnerServer.with { runner in
            try await SSHServer.with { server in
                try await start(environment, in: bench.fleet, server, runner)
                try await RawClient.connected(to: bench.port) { program in
                    let code = #"{"language":"bash","code":"\#(secretCode)"}"#
                    try await program.send(
                        """
                        POST /v1/environments/\(environment.slug)/execute HTTP/1.1\r\nHost: x\r\n\
                        Authorization: Bearer \(bench.token)\r\nContent-Length: \(code.utf8.count)\r\n\r\n\(code)
                        """)
                    let head = try await program.read(until: "\r\n\r\n").lowercased()
                    let execution = try #require(head.firstMatch(of: /martlet-execution-id: ([0-9a-f-]+)/)?.output.1)
                    try await program.read(until: #""data":"secret-code\n""#)
                    try await body(try await Belongings(bench, environment, execution: String(execution)))

                    let path = "/v1/executions/\(execution)/stdin?end=1"
                    #expect(try await bench.call("POST", path, body: "the owner's\n").status == 204)
                    let rest = try await program.read(until: #""event":"exit""#)
                    #expect(rest.contains(#""data":"the owner's\n"#) && rest.contains("untouched"), "\(rest)")
                }
            }
        }
    }

    private init(_ bench: LiveTests.Bench, _ environment: Environment, execution: String) async throws {
        let owner = environment.userID
        let (id, slug) = ("\(environment.id)", environment.slug.rawValue)
        let token = try #require(try await bench.fleet.tokens.list(of: owner).first)
        let host = try await bench.fleet.hosts.add(
            name: "host-1", address: "192.0.2.1", capacity: MachineSize(vcpus: 1, memoryMb: 1_024, diskMb: 1_024),
            by: .system("test"))
        let key = try await bench.fleet.sshKeys.add(
            SSHPublicKey(SSHKeyPair.generate(comment: "").publicKey), name: "secret-key", for: owner,
            by: .system("test"))
        try await bench.fleet.unknownVMs.record(["i-1": "secret-vm"], of: "local")
        self.bench = bench
        self.slug = slug
        names = [
            "slug": [slug, id], "executions.id": [execution], "tokens.id": ["\(token.id)"],
            "ssh-keys.id": ["\(key.id)"],
            "files.path": ["secret-file"], "executions.before": [execution], "environments.after": [id],
            "audit.before": ["1"],
            "user": ["\(owner)", "owner"], "vm": [slug, id], "host": ["host-1", "\(host.id)"],
            "queue": [bench.fleet.provisionQueue.name], "job": [environment.pendingJob?.id ?? "1"],
            "token": ["\(token.id)"], "terminal": ["secret-shell"], "provider": ["local"], "instance": ["i-1"],
        ]
        secrets = [
            slug, id, "secret-name", "SECRET_NAME", "secret-code", "secret-line", "\(owner)", "\(token.id)", execution,
            "host-1", "192.0.2.1", "secret-vm", "secret-key", key.fingerprint, "\(key.id)",
        ]
    }

    /// As a worker would have it run.
    private static func start(
        _ environment: Environment, in fleet: Fleet, _ server: SSHServer, _ runner: RunnerServer
    ) async throws {
        try await environment.pretendsToRun(
            in: fleet, at: server.endpoint, runnerPort: runner.port, runnerSecret: runner.secret)
    }

    // MARK: Calls

    var bodies: [String: [String?]] {
        [
            "POST /v1/execute": (names["slug"] ?? []).map {
                #"{"language":"python","code":"1","environment":"\#($0)"}"#
            },
            "POST /v1/environments/{slug}/execute": [#"{"language":"python","code":"1"}"#],
            "PATCH /v1/environments/{slug}": [#"{"name":"mine"}"#],
            "PUT /v1/files/{path}": ["the stranger's\n"], "PATCH /v1/files/{path}": [#"{"moveTo":"mine"}"#],
            "POST /v1/environments": [#"{"name":"mine"}"#], "POST /v1/tokens": [#"{"name":"mine"}"#],
            "POST /v1/ssh-keys": [#"{"key":"mine"}"#],
            "POST /v1/executions/{id}/stdin": ["the stranger's\n"],
        ]
    }

    /// The path with every way of naming the owner's things in it, and with those that its query takes.
    func targets(of path: String, query: [[String: Any]]) -> [String] {
        let parts = path.split(separator: "/").map(String.init)
        var targets = [""]
        for (index, part) in parts.enumerated() {
            var fillings = [part]
            if part.hasPrefix("{") {
                fillings = known(
                    String(part.dropFirst().dropLast()), after: index > 0 ? parts[index - 1] : "", in: path)
            }
            targets = targets.flatMap { target in fillings.map { "\(target)/\($0)" } }
        }
        var queries = [""]
        let last = parts.last { !$0.hasPrefix("{") } ?? ""
        for name in query.compactMap({ $0["name"] as? String }) {
            switch name {
            case "before", "after":
                if path.hasPrefix("/v1/admin") || path.hasPrefix("/v1/files") { continue }
                queries += known(name, after: last, in: path).map { "?\(name)=\($0)" }
            case "follow" where path.contains("{"): queries.append("?follow=1")
            case "follow", "limit", "end": break  // one's own log has no end
            case "environment": queries += known("slug", after: "", in: path).map { "?environment=\($0)" }
            case "list", "stat", "archive", "inline", "upload", "offset", "total", "parents", "mode", "recursive",
                "rows", "columns", "window", "create":
                break  // of what, says 'environment'
            default:
                #expect(path.hasPrefix("/v1/admin"), "\(path): this test does not know what '\(name)' is")
            }
        }
        return targets.flatMap { target in queries.map { target + $0 } }
    }

    private func known(_ name: String, after part: String, in path: String) -> [String] {
        guard let fillings = names["\(part).\(name)"] ?? names[name] else {
            Issue.record("\(path): this test does not know what to fill in for '\(name)'")
            return []
        }
        return fillings
    }

    func isNamed(in body: String?) -> Bool { names["slug"]?.contains { body?.contains($0) == true } ?? false }

    /// What a procedure might be asked, with the owner's names under every field there is.
    func inputs(of kind: Procedure.Kind) -> [String] {
        (names["slug"] ?? []).flatMap { name in
            let fields =
                #""code":"1","command":"1","environment":"\#(name)","vmId":"\#(name)","environmentId":"\#(name)""#
            guard kind == .subscription else { return ["{\(fields)}"] }
            return ["{\(fields)}"]
                + (names["executions.id"] ?? []).map { #"{\#(fields),"lastEventId":"\#($0):0:0:0"}"# }
        }
    }

    /// The stranger learns nothing but what he said himself.
    func expectNothing(in answer: String, beyond said: String, of call: String) {
        for secret in secrets where !said.contains(secret) {
            #expect(!answer.contains(secret), "tells '\(secret)': \(call)")
        }
    }
}
