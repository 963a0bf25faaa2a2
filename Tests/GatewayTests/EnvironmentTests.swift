import Fleet
import Foundation
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
            #expect(try await bench.call("POST", "/v1/environments/\(slug)/stop").status == 409)
            let lines = try await bench.call("GET", "/v1/environments/\(slug)/audit").json["audit"] as? [[String: Any]]
            let actions = lines?.compactMap { $0["action"] as? String } ?? []
            #expect(actions.contains("create") && actions.contains("stop"), "\(actions)")
            let refused = lines?.first { $0["action"] as? String == "stop" }
            #expect(refused?["errorCode"] as? String == "illegal_transition")
            #expect(try await bench.call("GET", "/v1/environments/\(slug)/executions").status == 200)
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
        (#"{"name":"x","repository":{"url":"ftp://a/b"}}"#, 422, "repository"), (#"{"name":"x""#, 400, "byte"),
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
            // A refusal is not kept: the next try may be the good one.
            let made = try await bench.call(
                "POST", "/v1/environments", body: #"{"name":""}"#, headers: ["Idempotency-Key": "k-2"])
            #expect(made.status == 422)
        }
    }

    /// Every route of the document, called by a stranger with the names of what the owner has.
    @Test func nobodyReachesWhatIsAnothers() async throws {
        try await withBench { bench in
            let made = try environment(
                try await bench.call(
                    "POST", "/v1/environments", body: #"{"name":"secret-name","environmentVars":{"SECRET_NAME":"v"}}"#))
            let slug = try #require(made["slug"] as? String)
            let id = try #require(made["id"] as? String)
            let owner = try #require(try await bench.fleet.users.byName("owner"))
            let token = try #require(try await bench.fleet.tokens.list(of: owner.id).first)
            let execution = ExecutionID()
            try await bench.fleet.executions.begin(
                ExecutionRecord(
                    id: execution, userID: owner.id, environmentID: try #require(EnvironmentID(id)), gatewayID: "g",
                    requestID: nil, language: "python", code: Array("secret-code".utf8)))
            await bench.fleet.provisionLog.append(owner.id, .info, "secret-line")
            let secrets = [
                slug, id, "secret-name", "SECRET_NAME", "secret-code", "secret-line", "\(owner.id)", "\(token.id)",
                "\(execution)",
            ]
            let bodies = [
                "POST /v1/execute": #"{"language":"python","code":"1","environment":"\#(slug)"}"#,
                "POST /v1/environments/{slug}/execute": #"{"language":"python","code":"1"}"#,
                "PATCH /v1/environments/{slug}": #"{"name":"mine"}"#,
                "POST /v1/environments": #"{"name":"mine"}"#, "POST /v1/tokens": #"{"name":"mine"}"#,
            ]
            let document = try await bench.call("GET", "/openapi.json").json
            let paths = try #require(document["paths"] as? [String: [String: Any]])
            var named = 0
            for (path, methods) in paths.sorted(by: { $0.key < $1.key }) {
                for method in methods.keys.map({ $0.uppercased() }).sorted() where path.hasPrefix("/v1/") {
                    let fillings: [String]
                    switch path.split(separator: "/").dropFirst().first {
                    case "environments": fillings = [slug, id]
                    case "executions": fillings = ["\(execution)"]
                    case "tokens": fillings = ["\(token.id)"]
                    case "admin": fillings = [slug, "owner"]  // nobody gets so far that it matters
                    default:
                        fillings = [""]
                        #expect(!path.contains("{"), "\(path): this test does not know what to fill in")
                    }
                    for filling in Set(fillings) {
                        let target = path.replacing(/\{\w+\}/, with: filling)
                        let answer = try await bench.call(
                            method, target, token: bench.strangersToken, accept: "application/json",
                            body: bodies["\(method) \(path)"])
                        if path.contains("{") || bodies["\(method) \(path)"]?.contains(slug) == true {
                            named += 1
                            #expect([403, 404].contains(answer.status), "\(method) \(target): \(answer.text)")
                        }
                        for secret in secrets where !(target + (bodies["\(method) \(path)"] ?? "")).contains(secret) {
                            #expect(!answer.text.contains(secret), "\(method) \(target) tells \(secret)")
                        }
                    }
                }
            }
            #expect(named >= 20)
            let after = try environment(try await bench.call("GET", "/v1/environments/\(slug)"))
            #expect(after["name"] as? String == "secret-name" && after["state"] as? String == "provisioning")
            #expect(try await bench.call("GET", "/v1/tokens").status == 200, "the owner's token is good still")
        }
    }
}
