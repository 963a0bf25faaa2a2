import Fleet
import Foundation
import PostgreSQL
import Testing

@testable import Gateway

extension LiveTests {
    private func environment(_ answer: (status: Int, json: [String: Any], text: String, head: String)) throws
        -> [String: Any]
    {
        try #require(answer.json["environment"] as? [String: Any], "\(answer.text)")
    }

    @Test func anEnvironmentIsMadeChangedAndDestroyed() async throws {
        try await withBench { bench in
            let body = """
                {"name":"web","environmentVars":{"SECRET":"hunter2"},"initScript":"true","durationHours":24,
                 "repository":{"url":"https://me:hunter2@example.com/a.git"},"vcpus":1,"memoryMb":512}
                """
            let made = try await bench.call("POST", "/v1/environments", body: body)
            #expect(made.status == 202)
            #expect(!made.text.contains("hunter2"))
            let shown = try environment(made)
            #expect(shown["state"] as? String == "provisioning" && shown["memoryMb"] as? Int == 512)
            #expect(shown["environmentVars"] as? [String] == ["SECRET"] && shown["hasInitScript"] as? Bool == true)
            #expect(shown["expiresAt"] is String)
            let slug = try #require(shown["slug"] as? String)
            let id = try #require(shown["id"] as? String)
            for name in [slug, id] {
                let found = try await bench.call("GET", "/v1/environments/\(name)")
                #expect(try environment(found)["slug"] as? String == slug)
            }
            let change = #"{"name":"site","environmentVars":{"A":"1","B":"2"},"durationHours":null}"#
            let changed = try environment(try await bench.call("PATCH", "/v1/environments/\(slug)", body: change))
            #expect(changed["name"] as? String == "site" && changed["expiresAt"] is NSNull)
            #expect(changed["environmentVars"] as? [String] == ["A", "B"])
            let listed = try await bench.call("GET", "/v1/environments").json["environments"] as? [[String: Any]]
            #expect(listed?.compactMap { $0["slug"] as? String } == [slug])
            let rest = try await bench.call("GET", "/v1/environments?after=\(id)").json["environments"] as? [Any]
            #expect(rest?.isEmpty == true)
            #expect(try await bench.call("POST", "/v1/environments/\(slug)/stop").status == 409)
            let lines = try await bench.call("GET", "/v1/environments/\(slug)/audit").json["audit"] as? [[String: Any]]
            let actions = lines?.compactMap { $0["action"] as? String } ?? []
            #expect(actions.contains("create") && actions.contains("stop"), "\(actions)")
            let refused = lines?.first { $0["action"] as? String == "stop" }
            #expect(refused?["errorCode"] as? String == "illegal_transition")
            #expect(try await bench.call("GET", "/v1/environments/\(slug)/executions").status == 200)
        }
    }

    @Test(arguments: [
        (#""https://me:hunter2@example.com/a.git#next/one""#, "https://example.com/a.git", "next/one"),
        (#""git@example.com:a/b""#, "git@example.com:a/b", nil),
        (#"{"url":"https://example.com/a.git","branch":"next/one"}"#, "https://example.com/a.git", "next/one"),
    ])
    func aRepositoryIsAnObjectOrItsURL(value: String, shown: String, branch: String?) async throws {
        try await withBench { bench in
            let made = try environment(
                try await bench.call("POST", "/v1/environments", body: #"{"name":"web","repository":\#(value)}"#))
            #expect(made["repository"] as? String == shown)
            let id = try #require((made["id"] as? String).flatMap { EnvironmentID($0) })
            let repository = try #require(try await bench.fleet.environments.setup(of: id).repository)
            #expect(repository.branch == branch && !repository.url.contains("#"))
        }
    }

    @Test func anEnvironmentsLogIsShownAndFollowed() async throws {
        try await withBench { bench in
            let made = try environment(try await bench.call("POST", "/v1/environments", body: #"{"name":"web"}"#))
            let slug = try #require(made["slug"] as? String)
            let id = try #require((made["id"] as? String).flatMap { EnvironmentID($0) })
            let owner = try #require(try await bench.fleet.users.byName("owner")).id
            await bench.fleet.provisionLog.append(owner, of: EnvironmentID(), .info, "another's")
            await bench.fleet.provisionLog.append(owner, of: id, .info, "its own")
            let shown = try await bench.call("GET", "/v1/environments/\(slug)/logs").json["logs"] as? [[String: String]]
            #expect(shown?.map { $0["message"] } == ["its own"] && shown?.first?["level"] == "info")
            try await RawClient.connected(to: bench.port) { client in
                try await client.send(
                    "GET /v1/environments/\(id)/logs?follow=1 HTTP/1.1\r\nHost: x\r\n"
                        + "Authorization: Bearer \(bench.token)\r\n\r\n")
                let first = try await client.read(
                    until: "event: log\ndata: {\"level\":\"info\",\"message\":\"its own\"")
                #expect(first.contains("text/event-stream") && !first.contains("another's"))
                await bench.fleet.provisionLog.append(owner, of: id, .error, "broke it")
                try await client.read(until: "event: log\ndata: {\"level\":\"error\",\"message\":\"broke it\"")
            }
            let foreign = try await bench.call(
                "GET", "/v1/environments/\(slug)/logs?follow=1", token: bench.strangersToken)
            #expect(foreign.status == 404 && !foreign.text.contains("its own"))
        }
    }

    @Test func theQuotaIsToldAndKept() async throws {
        try await withBench { bench in
            #expect(try await bench.call("POST", "/v1/environments", body: #"{"name":"one"}"#).status == 202)
            let second = try await bench.call("POST", "/v1/environments", body: #"{"name":"two"}"#)
            #expect(second.status == 403 && second.text.contains("quota_exceeded"))
            let quota = try #require(try await bench.call("GET", "/v1/quota").json["quota"] as? [String: Any])
            let (limits, used) = (quota["limits"] as? [String: Any], quota["used"] as? [String: Any])
            #expect(limits?["environments"] as? Int == 1 && limits?["runtimeHours"] is NSNull)
            #expect(used?["environments"] as? Int == 1 && used?["memoryMb"] as? Int == 4_096)
        }
    }

    @Test(arguments: [
        (#"{}"#, 422, "name"), (#"{"name":"x","nmae":1}"#, 422, "nmae"), (#"{"name":"x","vcpus":99}"#, 422, "vcpus"),
        (#"{"name":"x","provider":"cloud"}"#, 422, "provider_unknown"),
        (#"{"name":"x","durationHours":0}"#, 422, "durationHours"),
        (#"{"name":"x","environmentVars":{"1A":"b"}}"#, 422, "1A"),
        (#"{"name":"x","repository":{"url":"ftp://a/b"}}"#, 422, "repository"),
        (#"{"name":"x","repository":"ftp://a/b"}"#, 422, "repository"),
        (#"{"name":"x","repository":"https://a/b#"}"#, 422, "repository.branch"),
        (#"{"name":"x","repository":["https://a/b"]}"#, 422, "repository"), (#"{"name":"x""#, 400, "byte"),
    ])
    func aBadEnvironmentIsRefusedByItsField(body: String, status: Int, named: String) async throws {
        try await withBench { bench in
            let answer = try await bench.call("POST", "/v1/environments", body: body)
            #expect(answer.status == status && answer.text.contains(named), "\(answer.text)")
            let listed = try await bench.call("GET", "/v1/environments").json["environments"] as? [Any]
            #expect(listed?.isEmpty == true)
        }
    }

    @Test func aCreatingCallWithAKeyIsDoneOnce() async throws {
        try await withBench { bench in
            let key = ["Idempotency-Key": "k-1"]
            let first = try await bench.call("POST", "/v1/tokens", body: #"{"name":"a"}"#, headers: key)
            let again = try await bench.call("POST", "/v1/tokens", body: #"{"name":"a"}"#, headers: key)
            #expect(first.status == 201 && again.status == 201 && first.text == again.text)
            #expect(again.head.lowercased().contains("idempotency-replayed: true"))
            let other = try await bench.call("POST", "/v1/tokens", body: #"{"name":"b"}"#, headers: key)
            #expect(other.status == 422 && other.text.contains("idempotency_mismatch"))
            let tokens = try await bench.call("GET", "/v1/tokens").json["tokens"] as? [Any]
            #expect(tokens?.count == 2, "the bench's own and one more")
            // Also when the first gateway died before it answered: what was made is known with its answer.
            var ids: [String?] = []
            for _ in 0..<2 {
                let made = try await bench.call(
                    "POST", "/v1/environments", body: #"{"name":"web"}"#, headers: ["Idempotency-Key": "k-3"])
                #expect(made.status == 202, "\(made.text)")
                ids.append(try environment(made)["id"] as? String)
                try await bench.fleet.database.execute(
                    "UPDATE idempotency_keys SET claimed_at = now() - interval '1 h'")
            }
            #expect(ids[0] != nil && ids[0] == ids[1])
            // A refusal is not kept: the next try may be the good one.
            let made = try await bench.call(
                "POST", "/v1/environments", body: #"{"name":""}"#, headers: ["Idempotency-Key": "k-2"])
            #expect(made.status == 422)
        }
    }
}
