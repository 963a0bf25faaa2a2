import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// The interop checklist of tRPC: each row is a test that names its number, driven by requests as the official client
/// sends them. Here plain and batched calls, rows 1 to 19; rows 20 to 28 are in `TRPCChecklistTests+Lines`, 29 to 35 in
/// `+Events`, 36 to 38 and 40 in `+Links`, 39 in `TypeScriptTests`. Rows 25, 30 and 34 are in
/// `EndToEndTests.TRPCTests` once more, with programs that run.
@Suite struct TRPCChecklistTests {
    @Test func everyRowHasItsTest() throws {
        let folder = (#filePath as NSString).deletingLastPathComponent
        var rows: [Int] = []
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)
            rows += text.matches(of: #/@Test\(\s*"row (\d+): /#).compactMap { Int($0.output.1) }
        }
        #expect(Set(rows) == Set(1...40) && rows.count == 40, "\(rows.sorted())")
    }

    // MARK: What comes back

    @Test("row 1: a query is answered in its envelope; no VM is null")
    func aQueryIsAnsweredInItsEnvelope() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getMyVm")
            #expect(answer.status == 200 && answer.head.contains("content-type: application/json\r\n"))
            #expect(answer.head.contains("vary: trpc-accept, accept"))
            let vm = try #require(answer.data[0] as? [String: Any])
            #expect(vm["id"] as? String == DashboardVM.example.id.description && vm["status"] as? String == "running")
            #expect(vm["createdAt"] as? String == "1970-01-01T00:00:00.500Z")
            #expect(vm["sshPublicKey"] is NSNull && vm["lastStoppedAt"] is NSNull)  // null, never absent
        }
        try await withTRPC(.refusing) { client in
            let answer = try await client.trpc("GET", "vm.getMyVm")
            #expect(answer.text == "{\"result\":{\"data\":null}}\n")
        }
    }

    private func expectVMAndFlavors(_ path: String, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", path)
            #expect(answer.status == 200 && answer.envelopes.count == 2, sourceLocation: sourceLocation)
            let vm = answer.data[0] as? [String: Any]
            #expect(vm?["id"] as? String == DashboardVM.example.id.description, sourceLocation: sourceLocation)
            #expect((answer.data[1] as? [[String: Any]])?.count == 3, sourceLocation: sourceLocation)
        }
    }

    @Test("row 2: a batch is answered in order")
    func aBatchIsAnsweredInOrder() async throws {
        try await expectVMAndFlavors("vm.getMyVm,vm.listFlavors?batch=1&input=%7B%7D")
    }

    @Test("row 3: the comma may be escaped")
    func theCommaMayBeEscaped() async throws {
        try await expectVMAndFlavors("vm.getMyVm%2Cvm.listFlavors?batch=1&input=%7B%7D")
    }

    @Test("row 4: a batch without input has none for any call")
    func aBatchNeedsNoInput() async throws {
        try await expectVMAndFlavors("vm.getMyVm,vm.listFlavors?batch=1")
        try await expectVMAndFlavors("vm.getMyVm,vm.listFlavors?batch=1&input=")
        try await withTRPC { client in
            let body = "vm.destroyVm,vm.destroyVm?batch=1"
            let answer = try await client.trpc("POST", body, body: "", token: "mlt_admin")
            #expect(answer.errors.allSatisfy { $0?.message == "'vmId' is missing." }, "\(answer.text)")
        }
    }

    @Test("row 5: the input of a batch is an object", arguments: ["[1,2]", "null", "7", "\"x\""])
    func theInputOfABatchIsAnObject(input: String) async throws {
        try await withTRPC { client in
            for answer in [
                try await client.trpc("GET", "vm.getMyVm,vm.listFlavors?batch=1&input=" + escaped(input)),
                try await client.trpc("POST", "vm.executeCode,vm.stopMyVm?batch=1", body: input),
            ] {
                #expect(answer.status == 400 && answer.json is [Any] && answer.envelopes.count == 2)
                #expect(answer.errors.map { $0?.number } == [-32_600, -32_600])
                #expect(answer.errors.map { $0?.code } == ["BAD_REQUEST", "BAD_REQUEST"])
                #expect(answer.error?.message == "\"input\" needs to be an object when doing a batch call")
            }
        }
    }

    @Test("row 6: a batch of one is an array of one")
    func aBatchOfOneIsAnArray() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.listRegions?batch=1&input=%7B%7D")
            #expect(answer.text == #"[{"result":{"data":["here"]}}]"# + "\n")
        }
    }

    @Test("row 7: a good, a forbidden and an unknown call of a batch are told apart")
    func everyCallHasItsOwnFault() async throws {
        try await withTRPC { client in
            let mixed = try await client.trpc("GET", "vm.getMyVm,vm.getAllVms,vm.nope?batch=1&input=%7B%7D")
            #expect(mixed.status == 207 && mixed.data[0] is [String: Any])
            #expect(mixed.errors.map { $0?.code } == [nil, "FORBIDDEN", "NOT_FOUND"])
            #expect(mixed.errors.map { $0?.path } == [nil, "vm.getAllVms", "vm.nope"])
            #expect(mixed.errors[2]?.message == "No procedure found on path \"vm.nope\"")
        }
    }

    @Test("row 8: a batch whose calls fail alike has their status")
    func aBatchThatFailsAlikeHasThatStatus() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getAllVms,vm.getAllVms?batch=1&input=%7B%7D")
            #expect(answer.status == 403 && answer.errors.map { $0?.status } == [403, 403])
        }
    }

    @Test("row 9: who is no admin is told so")
    func whoIsNoAdminIsToldSo() async throws {
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getAllVms")
            let error = try #require(answer.error)
            #expect(answer.status == 403 && error.number == -32_003 && error.code == "FORBIDDEN")
            #expect(error.status == 403 && !error.hasStack && error.path == "vm.getAllVms")
            #expect(error.message == "Admin access required")
        }
    }

    /// tRPC's own table, as its clients have it.
    private static let codes: [String: (number: Int, status: Int)] = [
        "PARSE_ERROR": (-32_700, 400), "BAD_REQUEST": (-32_600, 400), "INTERNAL_SERVER_ERROR": (-32_603, 500),
        "NOT_IMPLEMENTED": (-32_603, 501), "BAD_GATEWAY": (-32_603, 502), "SERVICE_UNAVAILABLE": (-32_603, 503),
        "GATEWAY_TIMEOUT": (-32_603, 504), "UNAUTHORIZED": (-32_001, 401), "PAYMENT_REQUIRED": (-32_002, 402),
        "FORBIDDEN": (-32_003, 403), "NOT_FOUND": (-32_004, 404), "METHOD_NOT_SUPPORTED": (-32_005, 405),
        "TIMEOUT": (-32_008, 408), "CONFLICT": (-32_009, 409), "PRECONDITION_FAILED": (-32_012, 412),
        "PAYLOAD_TOO_LARGE": (-32_013, 413), "UNSUPPORTED_MEDIA_TYPE": (-32_015, 415),
        "UNPROCESSABLE_CONTENT": (-32_022, 422), "PRECONDITION_REQUIRED": (-32_028, 428),
        "TOO_MANY_REQUESTS": (-32_029, 429), "CLIENT_CLOSED_REQUEST": (-32_099, 499),
    ]

    @Test("row 10: every error has its number and its status", arguments: TRPCCode.allCases)
    func everyErrorHasItsNumberAndStatus(code: TRPCCode) async throws {
        #expect(Set(TRPCCode.allCases.map(\.rawValue)) == Set(Self.codes.keys))
        let (number, status) = try #require(Self.codes[code.rawValue])
        var operations = GatewayOperations.seeded
        operations.trpc.vm = { _ in
            throw TRPCFault(ServiceError(.invalidRequest, "On purpose.", hint: "None."), as: code)
        }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("GET", "vm.getMyVm")
            let error = try #require(answer.error)
            #expect(answer.status == status && error.number == number && error.code == code.rawValue)
            #expect(error.status == status && error.path == "vm.getMyVm" && !error.hasStack)
        }
    }

    // MARK: What is sent

    @Test("row 11: queries are GET and mutations POST")
    func methodsBelongToKinds() async throws {
        try await withTRPC { client in
            let get = try await client.trpc("GET", "vm.startMyVm")
            #expect(get.status == 405 && get.error?.number == -32_005)
            #expect(get.error?.message == "Unsupported GET-request to mutation procedure at path \"vm.startMyVm\"")
            #expect(try await client.trpc("POST", "vm.getMyVm", body: "").status == 405)
            let batch = try await client.trpc("POST", "vm.getMyVm,vm.listRegions?batch=1", body: "{}")
            #expect(batch.status == 405 && batch.envelopes.count == 2)
        }
    }

    @Test("row 12: a body is JSON and says so")
    func aBodyIsJSONAndSaysSo() async throws {
        try await withTRPC { client in
            try await client.request("POST", "/api/trpc/vm.stopMyVm", body: "{}")
            let (head, text) = try await client.response()
            #expect(head.hasPrefix("HTTP/1.1 415") && text.contains("\"Missing content-type header\",\"code\":-32015"))
            let plain = try await client.trpc("POST", "vm.stopMyVm", ["content-type: text/plain"], body: "{}")
            #expect(plain.status == 415 && plain.error?.number == -32_015 && plain.error?.path == nil)
            for type in ["application/json; charset=utf-8", "Application/JSON", "application/json"] {
                let answer = try await client.trpc("POST", "vm.stopMyVm", ["content-type: \(type)"], body: "{}")
                #expect(answer.status == 200, "\(type)")
            }
        }
    }

    @Test("row 13: a GET may have a content type")
    func aGetMayHaveAContentType() async throws {
        try await withTRPC { client in
            for type in ["application/json", "text/plain"] {
                let answer = try await client.trpc("GET", "vm.getMyVm", ["content-type: \(type)"])
                #expect(answer.status == 200)
            }
        }
    }

    @Test("row 14: a mutation needs no body")
    func aMutationNeedsNoBody() async throws {
        var operations = GatewayOperations.seeded
        let made = Latch()
        operations.trpc.vm = { _ in made.isOpen ? .example : nil }
        operations.createVM = { [operations] caller, _, id, _ in
            made.open()
            return try await operations.startVM(caller, id)
        }
        try await withTRPC(operations) { client in
            let provisioned = try await client.trpc("POST", "vm.provisionMyVm", body: "")
            #expect(provisioned.status == 200 && made.isOpen)
            #expect((provisioned.data[0] as? [String: Any])?["vcpus"] as? Int == 2)
            #expect(try await client.trpc("POST", "vm.startMyVm", body: "").status == 200)
        }
    }

    @Test("row 15: a HEAD has no body", arguments: ["vm.getMyVm", "vm.startMyVm", "vm.executeCodeStream", "vm.nope"])
    func aHeadHasNoBody(path: String) async throws {
        try await withTRPC { client in
            try await client.send("HEAD /api/trpc/\(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let text = try await client.readToEnd()
            #expect(text.hasPrefix("HTTP/1.1 204") && text.hasSuffix("\r\n\r\n"), "\(text)")
        }
    }

    @Test("row 16: pages of other origins are asked for by name")
    func pagesOfOtherOriginsAreAskedForByName() async throws {
        try await withTRPC(.printing) {
            $0.trpc.allowedOrigins = ["https://app.example"]
        } _: { client in
            func preflight(_ origin: String) async throws -> String {
                try await client.send(
                    "OPTIONS /api/trpc/vm.getMyVm HTTP/1.1\r\nHost: x\r\nOrigin: \(origin)\r\n"
                        + "Access-Control-Request-Method: POST\r\n"
                        + "Access-Control-Request-Headers: authorization,content-type,trpc-accept\r\n\r\n")
                return try await client.read(until: "\r\n\r\n").lowercased()
            }
            let allowed = try await preflight("https://app.example")
            #expect(allowed.hasPrefix("http/1.1 204") && allowed.contains("access-control-max-age: 600\r\n"))
            #expect(allowed.contains("access-control-allow-origin: https://app.example\r\n"))
            #expect(allowed.contains("access-control-allow-credentials: true\r\n"))
            #expect(allowed.contains("access-control-allow-methods: get, post, options\r\n"))
            #expect(allowed.contains("vary: origin"))
            let headers = try #require(allowed.firstMatch(of: /access-control-allow-headers: (.*)\r\n/)).output.1
            for name in ["content-type", "authorization", "trpc-accept", "x-trpc-source"] {
                #expect(headers.components(separatedBy: ", ").contains(name))
            }
            let other = try await preflight("https://other.example")
            #expect(other.hasPrefix("http/1.1 204") && !other.contains("access-control-"))

            // Errors and streams too are for that page to read.
            let origin = "Origin: https://app.example"
            var heads = [try await client.trpc("GET", "vm.nope", [origin]).head]
            for (path, header) in [("vm.listRegions?batch=1", linesHeader), (subscription("{}"), eventsHeader)] {
                heads.append(try await client.openTRPC("GET", path, header + [origin]))
                _ = try await client.streamToEnd()
            }
            for head in heads {
                #expect(head.contains("access-control-allow-origin: https://app.example\r\n"), "\(head)")
                #expect(head.contains("access-control-allow-credentials: true\r\n"))
                #expect(head.contains("vary: origin, trpc-accept, accept\r\n"))
            }
        }
        try await withTRPC { client in
            let answer = try await client.trpc("GET", "vm.getMyVm", ["Origin: https://app.example"])
            #expect(!answer.head.contains("access-control"))
        }
    }

    // MARK: Limits

    @Test("row 17: one call more than a batch holds refuses all of it")
    func aBatchHasItsLimit() async throws {
        try await withTRPC { client in
            for (count, isFine) in [(50, true), (51, false)] {
                let paths = Array(repeating: "vm.listRegions", count: count).joined(separator: ",")
                let answer = try await client.trpc("GET", "\(paths)?batch=1&input=%7B%7D")
                #expect(answer.status == (isFine ? 200 : 400) && answer.json is [Any] == isFine)
                guard !isFine else { continue }
                #expect(answer.error?.message == "Batch call exceeds maximum size" && answer.error?.path == nil)
                #expect(answer.error?.number == -32_600)  // one object, which the client copies to every call
            }
        }
    }

    @Test("row 18: a batch has queries or mutations", arguments: ["GET", "POST"])
    func kindsAreNotMixed(method: String) async throws {
        try await withTRPC { client in
            let answer = try await client.trpc(
                method, "vm.getMyVm,vm.startMyVm?batch=1&input=%7B%7D", body: method == "POST" ? "{}" : nil)
            #expect(answer.status == 400 && answer.json is [String: Any] && answer.error?.path == nil)
            #expect(answer.error?.message == "Cannot mix procedure types in call: query, mutation")
        }
    }

    @Test("row 19: a body one byte over the limit is refused and nothing hangs")
    func aBodyHasItsLimit() async throws {
        try await withTRPC(.ending(.exited(0))) {
            $0.bodyLimit = 100
        } _: { client in
            func body(_ count: Int) -> String { #"{"code":"\#(String(repeating: "x", count: count - 11))"}"# }
            #expect(try await client.trpc("POST", "vm.executeCode", body: body(100)).status == 200)
            let large = try await client.trpc("POST", "vm.executeCode", body: body(101))
            #expect(large.status == 413 && large.error?.number == -32_013 && large.error?.path == "vm.executeCode")
            try await client.expectEnd()
        }
    }
}
