import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// Plain and batched calls, as `httpLink` and `httpBatchLink` send them.
@Suite struct TRPCCallTests {
    @Test func aQueryIsAnsweredInItsEnvelope() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getMyVm")
            #expect(answer.status == 200 && answer.head.contains("content-type: application/json"))
            #expect(answer.head.contains("vary: trpc-accept, accept"))
            let vm = try #require(answer.data[0] as? [String: Any])
            #expect(vm["id"] as? String == DashboardVM.example.id.description && vm["status"] as? String == "running")
            #expect(vm["createdAt"] as? String == "1970-01-01T00:00:00.500Z")
            #expect(vm["sshPublicKey"] is NSNull && vm["lastStoppedAt"] is NSNull)  // null, never absent
            let flavors = try await client.trpc("GET", "vm.listFlavors").data[0] as? [[String: Any]]
            #expect(flavors?.map { $0["available"] as? Bool } == [true, false, false])  // what the tier may have
            #expect(flavors?[0]["ram"] as? Int == 4 && flavors?[0]["region"] as? String == "here")
        }
        try await withTRPC(.refusing) { client in
            let answer = try await client.trpc("GET", "vm.getMyVm")
            #expect(answer.text == "{\"result\":{\"data\":null}}\n")
        }
    }

    @Test func aBatchIsAnsweredInOrder() async throws {
        try await withTRPC { client in
            for path in [
                "vm.getMyVm,vm.listRegions?batch=1&input=%7B%7D", "vm.getMyVm%2Cvm.listRegions?batch=1&input=%7B%7D",
                "vm.getMyVm,vm.listRegions?batch=1", "vm.getMyVm,vm.listRegions?batch=1&input=%7B%227%22%3A1%7D",
            ] {
                let answer = try await client.trpc("GET", path)
                #expect(answer.status == 200 && answer.envelopes.count == 2, "\(path)")
                #expect(answer.data[1] as? [String] == ["here"])
            }
            let one = try await client.trpc("GET", "vm.listRegions?batch=1&input=%7B%7D")
            #expect(one.text == #"[{"result":{"data":["here"]}}]"# + "\n")
        }
    }

    /// Links of tRPC 10 send a content type with every GET, and always an `input` with a batch.
    @Test(arguments: [
        ("vm.getMyVm", 200), ("vm.getMyVm?input=%7B%7D", 200), ("vm.getMyVm,vm.listFlavors?batch=1&input=%7B%7D", 200),
        ("vm.getMyVm,vm.getAllVms,vm.nope?batch=1&input=%7B%7D", 207), ("vm.getAllVms", 403),
    ])
    func anOlderClientIsAnsweredAlike(path: String, status: Int) async throws {
        try await withTRPC { client in
            let old = try await client.trpc("GET", path, ["content-type: application/json"])
            let new = try await client.trpc("GET", path)
            #expect(old.status == status && new.status == status)
            func comparable(_ text: String) -> String { text.replacing(/"requestId":"[^"]*"/, with: "") }
            #expect(comparable(old.text) == comparable(new.text) && !old.text.contains("undefined"))
        }
    }

    @Test func everyCallHasItsOwnFault() async throws {
        try await withTRPC { client in
            let mixed = try await client.trpc("GET", "vm.getMyVm,vm.getAllVms,vm.nope?batch=1&input=%7B%7D")
            #expect(mixed.status == 207)
            #expect(mixed.errors.map { $0?.code } == [nil, "FORBIDDEN", "NOT_FOUND"])
            #expect(mixed.errors.map { $0?.path } == [nil, "vm.getAllVms", "vm.nope"])
            #expect(mixed.errors[2]?.message == "No procedure found on path \"vm.nope\"")
            let alike = try await client.trpc("GET", "vm.getAllVms,vm.getAllVms?batch=1")
            #expect(alike.status == 403 && alike.envelopes.count == 2)
            let forbidden = try await client.trpc("GET", "vm.getAllVms")
            let error = try #require(forbidden.error)
            #expect(forbidden.status == 403 && error.number == -32_003 && error.status == 403 && !error.hasStack)
            #expect(error.message == "Admin access required")
        }
    }

    @Test func adminsSeeEveryVM() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getAllVms", token: "mlt_admin")
            let fleet = try #require(answer.data[0] as? [String: Any])
            #expect((fleet["vms"] as? [Any])?.count == 1 && (fleet["hosts"] as? [Any])?.isEmpty == true)
            let stats = try #require(fleet["stats"] as? [String: Int])
            #expect(stats["total"] == 1 && stats["running"] == 1 && stats["runningMemoryMb"] == 4_096)
            #expect(fleet["nextCursor"] is NSNull)
            let destroyed = try await client.trpc(
                "POST", "vm.destroyVm", body: #"{"vmId":"\#(DashboardVM.example.id)"}"#, token: "mlt_admin")
            #expect(destroyed.text == #"{"result":{"data":{"success":true}}}"# + "\n")
            let unknown = try await client.trpc("POST", "vm.destroyVm", body: #"{"vmId":"vm-7"}"#, token: "mlt_admin")
            #expect(unknown.status == 404)
            let nobodys = try await client.trpc("POST", "vm.destroyVm", body: "{}", token: "mlt_admin")
            #expect(nobodys.status == 400 && nobodys.error?.message.contains("vmId") == true)
            // Whoever may not is told that, whatever they sent.
            #expect(try await client.trpc("POST", "vm.destroyVm", body: "{").status == 403)
        }
    }

    @Test func whoCallsIsAskedOnceAndTold() async throws {
        try await withTRPC { client in
            for token in [nil, "mlt_bad"] {
                let answer = try await client.trpc("GET", "vm.getMyVm,vm.listRegions?batch=1", token: token)
                #expect(answer.status == 401 && answer.errors.allSatisfy { $0?.number == -32_001 })
                #expect(answer.head.contains("www-authenticate: bearer"))
            }
            let inQuery = try await client.trpc(
                "GET", "vm.getMyVm?connectionParams=" + escaped(#"{"token":"mlt_good"}"#), token: nil)
            #expect(inQuery.status == 200)
            let bad = try await client.trpc("GET", "vm.getMyVm?connectionParams=%7B", token: nil)
            #expect(bad.status == 400 && bad.error?.number == -32_700 && bad.error?.path == nil)
        }
    }

    @Test func methodsBelongToKinds() async throws {
        try await withTRPC { client in
            let get = try await client.trpc("GET", "vm.startMyVm")
            #expect(get.status == 405 && get.error?.number == -32_005)
            #expect(get.error?.message == "Unsupported GET-request to mutation procedure at path \"vm.startMyVm\"")
            #expect(try await client.trpc("POST", "vm.getMyVm", body: "").status == 405)
            let batch = try await client.trpc("POST", "vm.getMyVm,vm.listRegions?batch=1", body: "{}")
            #expect(batch.status == 405 && batch.envelopes.count == 2)
            for method in ["PUT", "PATCH", "DELETE"] {
                let answer = try await client.trpc(method, "vm.startMyVm", body: "{}")
                #expect(answer.status == 405 && answer.error?.path == "vm.startMyVm")
            }
            try await client.request("HEAD", "/api/trpc/vm.getMyVm")
            #expect(try await client.read(until: "\r\n\r\n").hasPrefix("HTTP/1.1 204"))
            #expect(try await client.trpc("POST", "vm.startMyVm", body: "").status == 200)
        }
        try await withTRPC(.seeded) {
            $0.trpc.allowsMethodOverride = true
        } _: { client in
            #expect(try await client.trpc("POST", "vm.getMyVm", body: "").status == 200)
            let cursor = try await client.trpc(
                "POST", "vm.getAllVms?batch=1", body: #"{"0":{"cursor":"x"}}"#, token: "mlt_admin")
            #expect(cursor.error?.message.contains("'cursor'") == true)
        }
    }

    @Test func aBodyIsJSONAndSaysSo() async throws {
        try await withTRPC { client in
            for (headers, status) in [
                (["content-type: text/plain"], 415), (["content-type: application/json; charset=utf-8"], 200),
                (["content-type: Application/JSON"], 200),
            ] {
                let answer = try await client.trpc("POST", "vm.stopMyVm", headers, body: "{}")
                #expect(answer.status == status, "\(headers)")
                if status == 415 { #expect(answer.error?.number == -32_015 && answer.error?.path == nil) }
            }
            try await client.request("POST", "/api/trpc/vm.stopMyVm", body: "{}")
            let (head, text) = try await client.response()
            #expect(head.hasPrefix("HTTP/1.1 415") && text.contains("Missing content-type header"))
            let form = try await client.trpc("GET", "vm.getMyVm", ["content-type: multipart/form-data; boundary=x"])
            #expect(form.status == 405)
        }
    }

    @Test func inputIsReadOnlyByThoseWhoTakeIt() async throws {
        try await withTRPC(.refusing) { client in
            #expect(try await client.trpc("GET", "vm.getMyVm?input=%7B").status == 200)
            let bad = try await client.trpc("POST", "vm.executeCode", body: "{")
            #expect(bad.status == 400 && bad.error?.number == -32_600 && bad.error?.path == "vm.executeCode")
            let mixed = try await client.trpc("POST", "vm.destroyMyVm,vm.executeCode?batch=1", body: "{")
            #expect(mixed.errors.map { $0?.code } == ["SERVICE_UNAVAILABLE", "BAD_REQUEST"])
            #expect(mixed.head.contains("retry-after: 1"))
            let array = try await client.trpc("POST", "vm.executeCode,vm.executeCode?batch=1", body: "[1,2]")
            #expect(array.status == 400 && array.envelopes.count == 2)
            #expect(array.error?.message == "\"input\" needs to be an object when doing a batch call")
        }
    }

    @Test(arguments: [
        ("", 200, ""), ("{}", 200, ""), ("null", 200, ""), (#"{"vcpus":2,"memoryMb":4096,"diskGb":50}"#, 200, ""),
        (#"{"vcpus":17}"#, 400, "'vcpus'"), (#"{"vcpus":0}"#, 400, "'vcpus'"), (#"{"vcpus":"2"}"#, 400, "'vcpus'"),
        (#"{"vcpus":1.5}"#, 400, "'vcpus'"), (#"{"memoryMb":1023}"#, 400, "'memoryMb'"),
        (#"{"diskGb":9}"#, 400, "'diskGb'"), (#"{"unknown":[{}]}"#, 200, ""), ("[]", 400, "input"),
        (#"{"vcpus":4}"#, 403, "tier 'free' has 2"),
    ])
    func aVMsSizeIsChecked(input: String, status: Int, names: String) async throws {
        var operations = GatewayOperations.seeded
        let made = Latch()
        operations.trpc.vm = { _ in made.isOpen ? .example : nil }
        operations.createVM = { [operations] caller, _, id, _ in
            made.open()
            return try await operations.startVM(caller, id)
        }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("POST", "vm.provisionMyVm", body: input)
            #expect(answer.status == status && made.isOpen == (status == 200), "\(answer.text)")
            #expect(names.isEmpty || answer.error?.message.contains(names) == true, "\(answer.text)")
        }
    }

    @Test func whoeverHasNoVMIsToldSo() async throws {
        var operations = GatewayOperations.seeded
        operations.trpc.vm = { _ in nil }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("POST", "vm.startMyVm", body: "")
            #expect(answer.status == 404 && answer.error?.service == "environment_not_found")
        }
    }

    @Test func batchesHaveTheirLimitsAndRules() async throws {
        try await withTRPC(.seeded) {
            $0.trpc.batchLimit = 2
            $0.bodyLimit = 100
        } _: { client in
            let tooMany = try await client.trpc("GET", "vm.getMyVm,vm.getMyVm,vm.getMyVm?batch=1")
            #expect(tooMany.status == 400 && tooMany.error?.message == "Batch call exceeds maximum size")
            #expect(tooMany.json is [String: Any] && tooMany.error?.path == nil)
            let mixed = try await client.trpc("GET", "vm.getMyVm,vm.startMyVm?batch=1")
            #expect(mixed.status == 400 && mixed.json is [String: Any])
            #expect(mixed.error?.message == "Cannot mix procedure types in call: query, mutation")
            let subscription = try await client.trpc("GET", "vm.executeCodeStream?batch=1")
            #expect(subscription.status == 400 && subscription.error?.message == "Cannot batch subscription calls")
            #expect(try await client.trpc("GET", "vm.%ZZ").status == 400)
            #expect(try await client.trpc("GET", "vm/getMyVm").error?.code == "NOT_FOUND")
            #expect(try await client.trpc("GET", "").status == 404)
            let lines = try await client.trpc("GET", "vm.getMyVm", ["trpc-accept: application/jsonl"])
            #expect(lines.status == 400 && lines.error?.message.contains("must be batched") == true)

            let large = try await client.trpc(
                "POST", "vm.executeCode", body: #"{"code":"\#(String(repeating: "x", count: 90))"}"#)
            #expect(large.status == 413 && large.error?.number == -32_013 && large.error?.path == "vm.executeCode")
            try await client.expectEnd()
        }
    }

    @Test func pagesOfOtherOriginsAreAskedForByName() async throws {
        try await withTRPC(.seeded) {
            $0.trpc.allowedOrigins = ["https://app.example"]
        } _: { client in
            func preflight(_ origin: String) async throws -> String {
                try await client.send(
                    "OPTIONS /api/trpc/vm.getMyVm HTTP/1.1\r\nHost: x\r\nOrigin: \(origin)\r\n"
                        + "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n\r\n")
                return try await client.read(until: "\r\n\r\n").lowercased()
            }
            let allowed = try await preflight("https://app.example")
            #expect(allowed.hasPrefix("http/1.1 204") && allowed.contains("access-control-max-age: 600"))
            #expect(allowed.contains("access-control-allow-origin: https://app.example"))
            #expect(allowed.contains("access-control-allow-headers: content-type, authorization, trpc-accept"))
            let other = try await preflight("https://other.example")
            #expect(other.hasPrefix("http/1.1 204") && !other.contains("access-control-allow-origin"))
            let answer = try await client.trpc("GET", "vm.nope", ["Origin: https://app.example"])
            #expect(answer.head.contains("access-control-allow-origin: https://app.example"))
            #expect(answer.head.contains("vary: origin, trpc-accept, accept"))
        }
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getMyVm", ["Origin: https://app.example"])
            #expect(!answer.head.contains("access-control"))
        }
    }

    @Test func theTypesAreServedToWhoeverAsks() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "types.d.ts", token: nil)
            #expect(answer.status == 200 && answer.text.contains("export type AppRouter"))
        }
    }

    @Test func twoHundredBatchesAreNotCrossed() async throws {
        var operations = GatewayOperations.seeded
        operations.execute = { request, _, _, body in
            try await ExecutionEvents.produced { send in
                try await send(.output(.stdout, request.code))
                try await send(.exit(.exited(0)))
            } _: {
                try await body(ExecutionID(), $0)
            }
        }
        try await withGateway(operations) { port, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        try await RawClient.connected(to: port) { client in
                            let codes = (0..<10).map { "\(number)-\($0)" }
                            let inputs = codes.enumerated().map { "\"\($0)\":{\"code\":\"\($1)\"}" }
                            let paths = Array(repeating: "vm.executeCode", count: 10).joined(separator: ",")
                            let answer = try await client.trpc(
                                "POST", "\(paths)?batch=1", body: "{\(inputs.joined(separator: ","))}")
                            let printed = answer.data.map { ($0 as? [String: Any])?["stdout"] as? String }
                            #expect(printed == codes)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
