import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// Rows 36 to 38 and 40: what holds for every link.
extension TRPCChecklistTests {
    /// A request of each link for each procedure; what is wrong is a 415.
    private static let procedures: [(method: String, path: String, input: String?)] = [
        ("GET", "vm.getMyVm", nil), ("GET", "vm.getProvisionLogs", nil), ("GET", "vm.listFlavors", nil),
        ("GET", "vm.listRegions", nil), ("GET", "vm.getAllVms", nil), ("POST", "vm.provisionMyVm", nil),
        ("POST", "vm.startMyVm", nil), ("POST", "vm.stopMyVm", nil), ("POST", "vm.destroyMyVm", nil),
        ("POST", "vm.executeCode", #"{"code":"x"}"#), ("POST", "vm.executeCode", #"{"code":"x","stream":true}"#),
        ("POST", "vm.destroyVm", #"{"vmId":"\#(DashboardVM.example.id)"}"#),
    ]

    /// Answers of every procedure over every link, and of the subscription.
    private func answersOfAllLinks() async throws -> [String] {
        var operations = GatewayOperations.seeded
        operations.execute = GatewayOperations.printing.execute
        var answers: [String] = []
        try await withTRPC(operations) { client in
            for (method, path, input) in Self.procedures {
                let isQuery = method == "GET"
                let single = try await client.trpc(method, path, body: isQuery ? nil : input ?? "", token: "mlt_admin")
                let inputs = input.map { "{\"0\":\($0)}" } ?? "{}"
                let batched = isQuery ? "\(path)?batch=1&input=\(escaped(inputs))" : "\(path)?batch=1"
                let batch = try await client.trpc(method, batched, body: isQuery ? nil : inputs, token: "mlt_admin")
                #expect(single.status == 200 && batch.status == 200, "\(path): \(single.text)")
                _ = try await client.openTRPC(
                    method, batched, linesHeader, body: isQuery ? nil : inputs, token: "mlt_admin")
                let lines = try await client.streamToEnd()
                _ = try parsedLines(lines)
                answers += [single.text, batch.text, lines]
            }
            _ = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#), eventsHeader)
            answers.append(try await client.streamToEnd())
        }
        return answers
    }

    @Test("row 36: no link gets a 415, and a run over plain links is one object")
    func aRunIsOneObjectOnPlainLinks() async throws {
        for answer in try await answersOfAllLinks() { #expect(!answer.contains("\"error\":{"), "\(answer)") }
        try await withTRPC(.ending(.exited(3))) { client in
            for path in ["vm.executeCode", "vm.executeCode?batch=1"] {
                let input = #"{"code":"x","stream":true,"unknown":{"a":[1]}}"#
                let answer = try await client.trpc("POST", path, body: path.contains("?") ? "{\"0\":\(input)}" : input)
                let result = try #require(answer.data[0] as? [String: Any])
                #expect(result["stdout"] as? String == "out\n" && result["stderr"] as? String == "e\u{FFFD}\n")
                #expect(result["exitCode"] as? Int == 3 && result["executionId"] as? String == subscribedRun)
            }
        }
    }

    @Test("row 37: nothing is undefined on any link")
    func nothingIsUndefined() async throws {
        for answer in try await answersOfAllLinks() {
            #expect(!answer.contains("undefined") && !answer.contains("data:\n") && !answer.contains("data: \n"))
        }
    }

    /// Links of tRPC 10 send a content type with every GET, and always an `input` with a batch.
    @Test(
        "row 38: links of tRPC 10 are answered as those of 11",
        arguments: [
            ("GET", "vm.getMyVm", nil, 200), ("GET", "vm.getMyVm?input=%7B%7D", nil, 200),
            ("GET", "vm.getMyVm,vm.listFlavors?batch=1&input=%7B%7D", nil, 200),
            ("GET", "vm.getMyVm,vm.getAllVms,vm.nope?batch=1&input=%7B%7D", nil, 207),
            ("GET", "vm.getAllVms", nil, 403), ("POST", "vm.startMyVm", "", 200),
            ("POST", "vm.startMyVm,vm.stopMyVm?batch=1", "{}", 200),
        ])
    func anOlderClientIsAnsweredAlike(method: String, path: String, body: String?, status: Int) async throws {
        try await withTRPC { client in
            let old = try await client.trpc(method, path, ["content-type: application/json"], body: body)
            let new = try await client.trpc(method, path, body: body)
            #expect(old.status == status && new.status == status, "\(old.text)")
            #expect(old.comparable == new.comparable)
        }
    }

    @Test("row 40: two hundred batches of ten are not crossed")
    func twoHundredBatchesAreNotCrossed() async throws {
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
