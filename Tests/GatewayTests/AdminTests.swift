import EventLoop
import Fleet
import Foundation
import JobQueue
import Logging
import TestSupport
import Testing

@testable import Gateway

/// What admins see and do, over a real Fleet.
extension LiveTests {
    /// As ``withBench(_:)``, the token that is used without being named an admin's.
    private func withAdmin(_ body: (Bench) async throws -> Void) async throws {
        try await withBench { bench in
            let admin = try await bench.fleet.users.create(name: "root", role: .admin, by: .system("test"))
            let token = try await bench.fleet.tokens.create(
                for: admin.id, name: "t", scopes: [.user, .admin], by: .system("test")
            ).token
            try await body(
                Bench(port: bench.port, fleet: bench.fleet, token: token, strangersToken: bench.strangersToken))
        }
    }

    private func object(_ answer: (status: Int, json: [String: Any], text: String, head: String), _ name: String)
        throws -> [String: Any]
    {
        try #require(answer.json[name] as? [String: Any], "\(answer.status) \(answer.text)")
    }

    private func list(_ answer: (status: Int, json: [String: Any], text: String, head: String), _ name: String)
        throws -> [[String: Any]]
    {
        try #require(answer.json[name] as? [[String: Any]], "\(answer.status) \(answer.text)")
    }

    @Test func aUserIsMadeGivenATierAndSuspended() async throws {
        try await withAdmin { bench in
            let key = ["Idempotency-Key": "once"]
            let body = #"{"name":"ada","email":"ada@example.com"}"#
            let made = try await bench.call("POST", "/v1/admin/users", body: body, headers: key)
            #expect(made.status == 201)
            let id = try #require(try object(made, "user")["id"] as? String)
            #expect(try await bench.call("POST", "/v1/admin/users", body: body, headers: key).text == made.text)
            #expect(try await bench.call("POST", "/v1/admin/users", body: body).status == 409)

            let token = try await bench.call("POST", "/v1/admin/users/ada/tokens", body: #"{"name":"laptop"}"#)
            let text = try #require(token.json["token"] as? String)
            #expect(try await bench.call("GET", "/v1/quota", token: text).text.contains(#""environments":1"#))

            let change = try await bench.call("PATCH", "/v1/admin/users/\(id)", body: #"{"tier":"pro"}"#)
            #expect(try object(change, "user")["tier"] as? String == "pro")
            #expect(try await bench.call("GET", "/v1/quota", token: text).text.contains(#""environments":3"#))

            let allowed = try await bench.call("PUT", "/v1/admin/users/Ada/quota", body: #"{"network":"egress"}"#)
            #expect(try object(allowed, "overrides")["network"] as? String == "egress")
            #expect((try object(allowed, "quota")["limits"] as? [String: Any])?["network"] as? String == "egress")
            let quota = try await bench.call("PUT", "/v1/admin/users/Ada/quota", body: #"{"environments":7}"#)
            #expect(try object(quota, "overrides")["network"] is NSNull)
            #expect(try object(quota, "overrides")["environments"] as? Int == 7)
            let shown = try await bench.call("GET", "/v1/admin/users/ada")
            #expect((try object(shown, "quota")["limits"] as? [String: Any])?["environments"] as? Int == 7)
            #expect(try object(shown, "user")["email"] as? String == "ada@example.com")

            #expect(try await bench.call("POST", "/v1/admin/users/ada/suspend").status == 200)
            #expect(try await bench.call("GET", "/v1/quota", token: text).status == 403)
            let suspended = try list(try await bench.call("GET", "/v1/admin/users?suspended=true"), "users")
            #expect(suspended.map { $0["name"] as? String } == ["ada"])
            #expect(try await bench.call("POST", "/v1/admin/users/ada/resume").status == 200)
            #expect(try await bench.call("GET", "/v1/quota", token: text).status == 200)

            let tokenID = try #require(token.json["id"] as? String)
            #expect(try await bench.call("DELETE", "/v1/admin/users/owner/tokens/\(tokenID)").status == 404)
            #expect(try await bench.call("DELETE", "/v1/admin/users/ada/tokens/\(tokenID)").status == 204)
            #expect(try await bench.call("GET", "/v1/quota", token: text).status == 401)

            let lines = try list(try await bench.call("GET", "/v1/admin/audit?user=ada"), "audit")
            let actions = lines.compactMap { $0["action"] as? String }
            #expect(
                actions == [
                    "token.revoke", "user.resume", "user.suspend", "quota.set", "quota.set", "user.tier",
                    "token.create", "user.create",
                ])
            #expect(lines.allSatisfy { ($0["actor"] as? [String: Any])?["kind"] as? String == "admin" })
        }
    }

    @Test func anAdminCannotShutThemselvesOut() async throws {
        try await withAdmin { bench in
            #expect(try await bench.call("POST", "/v1/admin/users/root/suspend").status == 403)
            let demoted = try await bench.call("PATCH", "/v1/admin/users/root", body: #"{"role":"user"}"#)
            #expect(demoted.status == 403 && demoted.text.contains("another admin"))
            #expect(try await bench.call("GET", "/v1/admin/stats").status == 200)
        }
    }

    @Test(arguments: [
        ("GET", "/v1/admin/users?tier=gold", nil, 422, "tier"), ("GET", "/v1/admin/users/nobody", nil, 404, "nobody"),
        ("POST", "/v1/admin/users", #"{"name":"x","role":"king"}"#, 422, "role"),
        ("POST", "/v1/admin/users", #"{"tier":"pro"}"#, 422, "name"),
        ("PATCH", "/v1/admin/users/owner", #"{"password":"x"}"#, 422, "password"),
        ("PUT", "/v1/admin/users/owner/quota", #"{"environments":-1}"#, 422, "environments"),
        ("PUT", "/v1/admin/users/owner/quota", #"{"network":"all"}"#, 422, "network"),
        ("GET", "/v1/admin/vms?state=running,asleep", nil, 422, "asleep"),
        ("GET", "/v1/admin/vms/env_00000000/timeline?before=1", nil, 422, "before"),
        ("GET", "/v1/admin/vms/env_00000000", nil, 404, "env_00000000"),
        ("GET", "/v1/admin/audit?since=yesterday", nil, 422, "since"),
        ("GET", "/v1/admin/queues/mail", nil, 404, "queue_not_found"),
        ("GET", "/v1/admin/queues/vm-control/jobs?state=lost", nil, 422, "state"),
        ("GET", "/v1/admin/queues/vm-control/jobs/none", nil, 404, "job_not_found"),
        ("DELETE", "/v1/admin/queues/vm-control/jobs/none", nil, 404, "job_not_found"),
        ("POST", "/v1/admin/hosts", #"{"name":"a b","address":"x","vcpus":1,"memoryMb":1,"diskMb":1}"#, 422, "name"),
        ("POST", "/v1/admin/hosts/none/drain", nil, 404, "host_not_found"),
    ])
    func whatIsWrongIsNamed(method: String, path: String, body: String?, status: Int, named: String) async throws {
        try await withAdmin { bench in
            let answer = try await bench.call(method, path, body: body)
            #expect(answer.status == status && answer.text.contains(named), "\(answer.status) \(answer.text)")
        }
    }

    @Test func everyVMIsFoundExplainedAndHandled() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            let owner = try #require(try await fleet.users.byName("owner"))
            let vm = try await fleet.environments.createUserVM(for: caller(owner), requestID: nil, provider: "local")
            func slugs(_ query: String) async throws -> [String] {
                try list(try await bench.call("GET", "/v1/admin/vms?\(query)"), "vms").compactMap {
                    $0["slug"] as? String
                }
            }
            for query in [
                "", "state=provisioning,error", "provider=local", "owner=OWNER", "tier=free", "kind=user_vm",
                "search=\(vm.slug.rawValue.prefix(6))",
            ] {
                #expect(try await slugs(query) == [vm.slug.rawValue], "\(query)")
            }
            for query in ["state=error", "provider=docker", "owner=stranger", "tier=pro", "after=\(vm.id)"] {
                #expect(try await slugs(query).isEmpty, "\(query)")
            }
            let shown = try object(try await bench.call("GET", "/v1/admin/vms/\(vm.slug)"), "vm")
            #expect(shown["ownerName"] as? String == "owner" && shown["hostId"] is NSNull)

            let early = try await bench.call("DELETE", "/v1/admin/vms/\(vm.slug)")
            #expect(early.status == 409 && early.text.contains("illegal_transition"))
            let forced = try await bench.call("DELETE", "/v1/admin/vms/\(vm.slug)?force=true")
            #expect(try object(forced, "vm")["state"] as? String == "destroying")

            let why = try object(try await bench.call("GET", "/v1/admin/vms/\(vm.id)/why"), "why")
            #expect(why["runningExecutions"] as? Int == 0 && why["idleStopAt"] is NSNull)
        }
    }

    @Test func aTimelineHasWhatWasDoneAndWhatWasRun() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            let owner = try #require(try await fleet.users.byName("owner"))
            let vm = try await fleet.environments.createUserVM(for: caller(owner), requestID: nil, provider: "local")
            var runs: [String] = []
            for _ in 0..<3 {
                let id = ExecutionID()
                runs.insert("\(id)", at: 0)
                try await fleet.executions.begin(
                    ExecutionRecord(
                        id: id, userID: owner.id, environmentID: vm.id, gatewayID: "g", requestID: nil,
                        language: "python", code: Array("secret-code".utf8)))
            }
            #expect(try await bench.call("POST", "/v1/admin/vms/\(vm.slug)/reconcile").status == 202)
            var (events, next): ([String], String?) = ([], nil)
            repeat {
                let page = try await bench.call(
                    "GET", "/v1/admin/vms/\(vm.slug)/timeline?limit=2" + (next.map { "&before=\($0)" } ?? ""))
                #expect(!page.text.contains("secret-code"))
                for event in try list(page, "timeline") {
                    let audit = event["audit"] as? [String: Any]
                    let run = event["execution"] as? [String: Any]
                    #expect((audit == nil) != (run == nil))
                    events.append((audit?["action"] ?? run?["id"]) as? String ?? "neither")
                }
                next = page.json["next"] as? String
            } while next != nil && events.count < 20
            #expect(events == ["reconcile"] + runs + events.suffix(events.count - 4))
            #expect(events.last == "create" && events.count == Set(events).count)
        }
    }

    @Test func aVMThatNobodyKnowsIsListedAndDestroyedOnRequest() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            _ = try await fleet.unknownVMs.record(["i-1": "left-over", "i-2": "other"], of: "ovh")
            let first = try list(try await bench.call("GET", "/v1/admin/unknown-vms?limit=1"), "unknownVms")
            #expect(first.map { $0["instanceId"] as? String } == ["i-1"])
            let rest = try await bench.call("GET", "/v1/admin/unknown-vms?provider=ovh&after=ovh%2Fi-1")
            #expect(try list(rest, "unknownVms").map { $0["name"] as? String } == ["other"])
            #expect(try await bench.call("GET", "/v1/admin/unknown-vms?after=i-1").status == 422)
            #expect(try await bench.call("DELETE", "/v1/admin/unknown-vms/ovh/i-3").status == 404)
            #expect(try await bench.call("DELETE", "/v1/admin/unknown-vms/ovh/i-1").status == 202)
            try await fleet.outbox.relay(olderThan: .zero)
            #expect(try await fleet.controlQueue.list(.waiting).jobs.map(\.name) == [UnknownVMJob.name])
        }
    }

    @Test func hostsAreAddedDrainedAndRemoved() async throws {
        try await withAdmin { bench in
            let body = #"{"name":"fc-1","address":"10.0.0.1","vcpus":8,"memoryMb":16384,"diskMb":100000}"#
            #expect(try await bench.call("POST", "/v1/admin/hosts", body: body).status == 201)
            #expect(try await bench.call("POST", "/v1/admin/hosts", body: body).status == 409)
            for (verb, state) in [("cordon", "cordoned"), ("uncordon", "ready"), ("drain", "draining")] {
                let changed = try await bench.call("POST", "/v1/admin/hosts/fc-1/\(verb)")
                #expect(try object(changed, "host")["state"] as? String == state, "\(changed.text)")
            }
            let listed = try list(try await bench.call("GET", "/v1/admin/hosts"), "hosts")
            #expect((listed.first?["capacity"] as? [String: Any])?["memoryMb"] as? Int == 16_384)
            #expect(try await bench.call("DELETE", "/v1/admin/hosts/fc-1").status == 204)
            #expect(try await bench.call("GET", "/v1/admin/hosts/fc-1").status == 404)
        }
    }

    @Test func queuesArePausedResumedAndDrained() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            let paused = try await bench.call("POST", "/v1/admin/queues/vm-control/pause")
            #expect(try object(paused, "queue")["isPaused"] as? Bool == true)
            try await fleet.controlQueue.add("start", data: "{}")
            let counts = try object(try await bench.call("GET", "/v1/admin/queues/vm-control"), "queue")["counts"]
            #expect((counts as? [String: Int])?["paused"] == 1)
            let all = try list(try await bench.call("GET", "/v1/admin/queues"), "queues")
            #expect(all.map { $0["name"] as? String } == ["vm-provision", "vm-control"])
            #expect(try await bench.call("POST", "/v1/admin/queues/vm-control/drain").json["removed"] as? Int == 1)
            let resumed = try await bench.call("POST", "/v1/admin/queues/vm-control/resume")
            #expect(try object(resumed, "queue")["isPaused"] as? Bool == false)
            let lines = try list(try await bench.call("GET", "/v1/admin/audit?action=queue."), "audit")
            #expect(lines.map { $0["action"] as? String } == ["queue.resume", "queue.drain", "queue.pause"])
        }
    }

    /// A job that failed for good is read, and its work done again by a job in its place.
    @Test func aFailedJobIsReadAndRetried() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            let owner = try #require(try await fleet.users.byName("owner"))
            let vm = try await fleet.environments.createUserVM(for: caller(owner), requestID: nil, provider: "local")
            let job = try #require(vm.pendingJob)
            try await failing(fleet.provisionQueue, job: job.id, because: "The host is full.") { context in
                await context.log("Making the VM.")
                _ = try await fleet.environments.move(
                    vm.id, from: .provisioning, generation: vm.generation, to: .error,
                    change: EnvironmentChange(errorMessage: "The host is full."), actor: .worker("w"),
                    action: "provision", requestID: nil)
            }
            let path = "/v1/admin/queues/vm-provision/jobs"
            let failed = try await bench.call("GET", path)
            #expect(failed.json["total"] as? Int == 1 && failed.json["nextOffset"] is NSNull)
            #expect(try list(failed, "jobs").first?["failedReason"] as? String == "The host is full.")
            let shown = try await bench.call("GET", "\(path)/\(job.id)")
            #expect(shown.json["logs"] as? [String] == ["Making the VM."])
            let detail = try object(shown, "job")
            #expect(detail["environmentId"] as? String == "\(vm.id)" && detail["state"] as? String == "failed")
            #expect((detail["data"] as? [String: Any])?["generation"] as? Int == vm.generation)
            #expect((detail["stacktrace"] as? [String])?.count == 1)
            #expect(try await bench.call("POST", "\(path)/\(job.id)/promote").status == 409)

            let retried = try await bench.call("POST", "\(path)/\(job.id)/retry")
            #expect(retried.status == 200, "\(retried.text)")
            let now = try #require(try await fleet.environments.find(vm.id))
            #expect(now.state == .starting && retried.json["jobId"] as? String == now.pendingJob?.id)
            #expect(try await bench.call("GET", "\(path)/\(job.id)").status == 404, "another has its place")
            #expect(try await fleet.controlQueue.state(of: try #require(now.pendingJob).id) == .waiting)
            let lines = try list(try await bench.call("GET", "/v1/admin/audit?action=job."), "audit")
            #expect(lines.count == 1 && lines.first?["environmentId"] as? String == "\(vm.id)")
        }
    }

    /// A job whose environment went on without it has nothing left to do, and a job of no environment is run again.
    @Test func onlyWhatCanBeDoneAgainIsRetried() async throws {
        try await withAdmin { bench in
            let fleet = bench.fleet
            let owner = try #require(try await fleet.users.byName("owner"))
            let vm = try await fleet.environments.createUserVM(for: caller(owner), requestID: nil, provider: "local")
            let job = try #require(vm.pendingJob)
            try await failing(fleet.provisionQueue, job: job.id, because: "Out of luck.") { _ in
                _ = try await fleet.environments.requestDestroy(vm.id, actor: .system("test"), force: true)
            }
            let foreign = try await fleet.provisionQueue.add("mail", data: #"{"to":"x"}"#)
            try await failing(fleet.provisionQueue, job: foreign, because: "No such job.") { _ in }
            let path = "/v1/admin/queues/vm-provision"
            let refused = try await bench.call("POST", "\(path)/jobs/\(job.id)/retry")
            #expect(refused.status == 409 && refused.text.contains("moved on"), "\(refused.text)")
            let all = try await bench.call("POST", "\(path)/retry")
            #expect(all.json["retried"] as? Int == 1 && all.json["left"] as? Int == 1, "\(all.text)")
            #expect(try await fleet.provisionQueue.state(of: foreign) == .waiting)
            #expect(try await bench.call("DELETE", "\(path)/jobs/\(job.id)").status == 204)
            #expect(try await fleet.provisionQueue.state(of: job.id) == .unknown)
        }
    }

    /// A role without the scope, and a scope-less user, see nothing.
    @Test func theScopeIsNeededBesideTheRole() async throws {
        try await withAdmin { bench in
            let admin = try #require(try await bench.fleet.users.byName("root"))
            let plain = try await bench.fleet.tokens.create(for: admin.id, name: "plain", by: .system("test")).token
            let answer = try await bench.call("GET", "/v1/admin/stats", token: plain)
            #expect(answer.status == 403 && answer.text.contains("token create --admin"))
            #expect(try await bench.call("GET", "/v1/admin/stats", token: bench.strangersToken).status == 403)
            let stats = try object(try await bench.call("GET", "/v1/admin/stats"), "stats")
            #expect(stats["users"] as? Int == 3 && (stats["executionsPerMinute"] as? [Any])?.count == 60)
            #expect((stats["queues"] as? [Any])?.count == 2)
        }
    }

    private func caller(_ user: User) -> Caller {
        Caller(userID: user.id, tokenID: TokenID(), role: user.role, scopes: [.user], tier: user.tier)
    }

    /// Has a worker take the job and fail for good, after `body`.
    private func failing(
        _ queue: JobQueue, job id: String, because reason: String,
        _ body: @escaping @Sendable (JobContext) async throws -> Void
    ) async throws {
        let worker = QueueWorker(queue: queue, name: "w", concurrency: 1, logger: Logger(label: "test")) {
            _, context in
            try await body(context)
            throw UnrecoverableJobError(reason: reason)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await worker.run() }
            try await eventually(describing: "the failure of job \(id)") { try await queue.state(of: id) == .failed }
            group.cancelAll()
            do { try await group.waitForAll() } catch is CancellationError {}
        }
    }
}
