import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// Rows 20 to 28: JSON Lines, as `httpBatchStreamLink` asks for them.
extension TRPCChecklistTests {
    /// `vm.getMyVm` is answered once `gate` opens.
    private func slow(_ gate: Latch) -> GatewayOperations {
        var operations = GatewayOperations.seeded
        operations.trpc.vm = { _ in
            try await gate.wait()
            return nil
        }
        return operations
    }

    @Test("row 20: the faster call is answered first")
    func theFasterCallIsAnsweredFirst() async throws {
        let gate = Latch()
        try await withTRPC(slow(gate)) { client in
            let head = try await client.openTRPC(
                "GET", "vm.getMyVm,vm.listRegions?batch=1&input=%7B%7D", linesHeader)
            #expect(head.hasPrefix("http/1.1 200") && head.contains("content-type: application/json\r\n"))
            #expect(head.contains("transfer-encoding: chunked"))
            let first = try await client.read(until: "[[{\"result\":{\"data\":[\"here\"]}}]]]\n\r\n")
            #expect(unchunked(first).data.hasPrefix(#"{"0":[[0],[null,0,0]],"1":[[0],[null,0,1]]}"# + "\n[1,0,"))
            gate.open()
            let rest = try await client.streamToEnd()
            #expect(rest == #"[0,0,[[{"result":{"data":null}}]]]"# + "\n")
            #expect(try parsedLines(unchunked(first).data + rest).count == 3)
        }
    }

    @Test("row 21: a call that fails fails alone")
    func aCallThatFailsFailsAlone() async throws {
        var operations = GatewayOperations.seeded
        operations.trpc.vm = { _ in throw ServiceError(.vmUnreachable, "It is away.", hint: "Wait.") }
        try await withTRPC(operations) { client in
            let head = try await client.openTRPC(
                "GET", "vm.getMyVm,vm.listRegions,vm.getAllVms?batch=1&input=%7B%7D", linesHeader)
            #expect(head.hasPrefix("http/1.1 200"))
            let lines = try parsedLines(try await client.streamToEnd())
            // What is known at once is in the head, what fails later in the line that fulfils its promise.
            let known = ((lines[0] as? [String: Any])?["2"] as? [[[String: Any]]])?[0][0]
            #expect(TRPCErrorShape(known?["error"])?.code == "FORBIDDEN")
            let later = lines.dropFirst().compactMap { $0 as? [Any] }
            let values = Dictionary(
                uniqueKeysWithValues: later.map { ($0[0] as? Int ?? -1, ($0[2] as? [[[String: Any]]])?[0][0]) })
            #expect(later.allSatisfy { $0[1] as? Int == 0 } && Set(values.keys) == [0, 1])
            #expect(TRPCErrorShape(values[0]??["error"])?.code == "BAD_GATEWAY")
            #expect((values[1]??["result"] as? [String: Any])?["data"] as? [String] == ["here"])
        }
    }

    @Test("row 22: either header asks for lines")
    func eitherHeaderAsksForLines() async throws {
        try await withTRPC { client in
            var answers: [String] = []
            for header in ["trpc-accept: application/jsonl", "accept: application/jsonl"] {
                _ = try await client.openTRPC("GET", "vm.listRegions,vm.nope?batch=1&input=%7B%7D", [header])
                let text = try await client.streamToEnd()
                answers.append(text.replacing(/"requestId":"[^"]*"/, with: ""))
            }
            #expect(answers[0] == answers[1] && answers[0].contains("[0,0,[[{\"result\":"))
        }
    }

    @Test("row 23: lines are for batches", arguments: ["trpc-accept: application/jsonl", "accept: application/jsonl"])
    func linesAreForBatches(header: String) async throws {
        try await withTRPC { client in
            for path in ["vm.getMyVm", "vm.getMyVm?batch=true"] {
                let answer = try await client.trpc("GET", path, [header])
                #expect(answer.status == 400 && answer.error?.number == -32_600)
                #expect(answer.error?.message == "Streaming requests must be batched (you can do a batch of 1)")
            }
        }
    }

    @Test(
        "row 24: faults of the whole request are in the head",
        arguments: [
            ("GET", "vm.getMyVm,vm.listRegions?batch=1", "mlt_good", 2, "Batch call exceeds maximum size"),
            ("GET", "vm.getMyVm?batch=1", "mlt_bad", 1, "UNAUTHORIZED"),
            ("GET", "vm.nope?batch=1", "mlt_good", 1, "NOT_FOUND"),
            ("POST", "vm.executeCode?batch=1", "mlt_good", 1, "PAYLOAD_TOO_LARGE"),
        ])
    func faultsOfAllOfItAreInTheHead(
        method: String, path: String, token: String, count: Int, says: String
    ) async throws {
        try await withTRPC(.seeded) {
            $0.trpc.batchLimit = 1
            $0.bodyLimit = 10
        } _: { client in
            let body = method == "POST" ? #"{"0":{"code":"too long"}}"# : nil
            let head = try await client.openTRPC(method, path, linesHeader, body: body, token: token)
            #expect(head.hasPrefix("http/1.1 200"))
            let text = try await client.streamToEnd()
            let lines = try parsedLines(text)
            #expect((lines[0] as? [String: Any])?.count == count && text.contains("\"error\":{\"message\":"))
            #expect(text.contains(says), "\(text)")
        }
    }

    @Test("row 25: an iterable's values come as they are printed, then its return value")
    func aRunIsHandedOutValueByValue() async throws {
        let gate = Latch()
        try await withTRPC(.ending(.exited(3)) { try await gate.wait() }) { client in
            let body = #"{"0":{"code":"x","stream":true}}"#
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", linesHeader, body: body)
            let first = try await client.read(until: #"[2,1,[[{"type":"stdout","data":"out\n"}]]]"#)  // while it runs
            #expect(
                first.contains(#"{"0":[[0],[null,0,0]]}"#) && first.contains(#"[0,0,[[{"result":0}],["result",0,1]]]"#))
            #expect(first.contains(#"[1,0,[[{"data":0}],["data",1,2]]]"#))
            gate.open()
            let rest = try await client.read(until: "\r\n0\r\n\r\n")
            #expect(rest.contains(#"[2,0,[[{"exitCode":3,"signal":null,"reason":"exited""#), "\(rest)")
            // One who did not ask for that gets the object its type says.
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", linesHeader, body: #"{"0":{"code":"x"}}"#)
            #expect(try await client.streamToEnd().contains(#"[0,0,[[{"result":{"data":{"stdout":"out\n""#))
        }
    }

    @Test("row 26: an iterable that fails gives its values first")
    func anIterableThatFailsGivesItsValuesFirst() async throws {
        try await withTRPC(.ending(.stopped(.timeout))) { client in
            let body = #"{"0":{"code":"x","stream":true}}"#
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", linesHeader, body: body)
            let lines = try parsedLines(try await client.streamToEnd()).compactMap { $0 as? [Any] }
            let values = lines.filter { $0[1] as? Int == 1 }.compactMap { ($0[2] as? [[[String: String]]])?[0][0] }
            #expect(values.map { $0["data"] } == ["out\n", "e\u{FFFD}\n"])
            let last = try #require(lines.last)
            #expect(last[0] as? Int == 2 && last[1] as? Int == 2)
            #expect(TRPCErrorShape(last[2])?.code == "TIMEOUT")
        }
    }

    @Test("row 27: leaving a loop over lines ends its run within a second", arguments: [true, false])
    func leavingALoopEndsItsRun(isStreamed: Bool) async throws {
        try await expectLeavingEndsTheRun { client in
            _ = try await client.openTRPC(
                "POST", "vm.executeCode?batch=1", linesHeader, body: #"{"0":{"code":"x","stream":\#(isStreamed)}}"#)
        }
    }

    /// The interval is set short, so that as many spaces come at once as in a minute of the usual one.
    @Test("row 28: spaces that fill a minute's silence do not disturb")
    func silenceIsFilledWithSpaces() async throws {
        let usual = TRPCConfiguration().pingInterval
        let spaces = Int(Duration.seconds(60) / usual)
        #expect(spaces >= 2)
        let gate = Latch()
        try await withTRPC(slow(gate)) {
            $0.trpc.pingInterval = .milliseconds(5)
        } _: { client in
            _ = try await client.openTRPC("GET", "vm.getMyVm,vm.listRegions?batch=1", linesHeader)
            var text = try await client.read(until: "[\"here\"]}}]]]\n\r\n")
            for _ in 0..<spaces { text += try await client.read(until: "1\r\n \r\n") }
            gate.open()
            text += try await client.read(until: "\r\n0\r\n\r\n")
            let lines = unchunked(text).data.split(separator: "\n")
            #expect(lines.last?.hasPrefix(String(repeating: " ", count: spaces)) == true, "\(lines)")
            #expect(try parsedLines(unchunked(text).data).count == 3)  // parsed with their spaces
            let last = lines.last.map { $0.drop { $0 == " " } }
            #expect(last == #"[0,0,[[{"result":{"data":null}}]]]"#)
        }
        // Between the values of an iterable as well: they fall between lines, never into one.
        let printed = Latch()
        try await withTRPC(.ending(.exited(0)) { try await printed.wait() }) {
            $0.trpc.pingInterval = .milliseconds(5)
        } _: { client in
            _ = try await client.openTRPC(
                "POST", "vm.executeCode?batch=1", linesHeader, body: #"{"0":{"code":"x","stream":true}}"#)
            var text = try await client.read(until: "\"out\\n\"}]]]\n\r\n")
            for _ in 0..<spaces { text += try await client.read(until: "1\r\n \r\n") }
            printed.open()
            text += try await client.read(until: "\r\n0\r\n\r\n")
            #expect(try parsedLines(unchunked(text).data).count == 6)
        }
    }
}
