import EventLoop
import Execution
import Fleet
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import Gateway

/// Runs over tRPC: buffered, as JSON Lines, as a subscription.
@Suite struct TRPCRunTests {
    private static let id = "4bf83d8a-0000-4000-8000-000000000000"

    /// Prints `out` and `err`, then ends so.
    private static func ending(_ report: ExitReport, before: @escaping @Sendable () async throws -> Void = {})
        -> GatewayOperations
    {
        .running { send in
            try await send(.status(.connecting, message: "…"))
            try await send(.started(ExecutionID(Self.id)!))
            try await send(.output(.stdout, Array("out\n".utf8)))
            try await before()
            try await send(.output(.stderr, [0x65, 0xFF, 0x0A]))
            try await send(.exit(report))
        }
    }

    private static func report(_ reason: ExitReport.Reason, signal: String? = "SIGKILL") -> ExitReport {
        ExitReport(
            exitCode: nil, signal: signal, reason: reason, stage: .run, durationMs: 500, cpuMs: 1, maxRssBytes: 1,
            truncated: false)
    }

    // MARK: One result

    @Test func aRunIsOneObjectOnPlainLinks() async throws {
        try await withTRPC(Self.ending(.exited(3))) { client in
            for path in ["vm.executeCode", "vm.executeCode?batch=1"] {
                let input = #"{"code":"x","stream":true,"unknown":{"a":[1]}}"#
                let answer = try await client.trpc("POST", path, body: path.contains("?") ? "{\"0\":\(input)}" : input)
                let result = try #require(answer.data[0] as? [String: Any])
                #expect(result["stdout"] as? String == "out\n" && result["stderr"] as? String == "e\u{FFFD}\n")
                #expect(result["exitCode"] as? Int == 3 && result["executionId"] as? String == Self.id)
            }
            for input in ["", "{}", #"{"code":""}"#, #"{"code":1}"#, #"{"code":"x","args":1}"#] {
                let answer = try await client.trpc("POST", "vm.executeCode", body: input)
                #expect(answer.status == 400 && answer.error?.number == -32_600, "\(input): \(answer.text)")
            }
        }
    }

    @Test(arguments: [
        (report(.signaled, signal: "SIGSEGV"), nil, 139), (report(.memory), nil, 137),
        (report(.cancelled, signal: nil), nil, 137), (report(.timeout), TRPCCode.timeout, 0),
        (report(.outputLimit), .payloadTooLarge, 0),
    ])
    func whatDidNotEndByItselfIsToldTruly(report: ExitReport, code: TRPCCode?, exitCode: Int) async throws {
        try await withTRPC(Self.ending(report)) { client in
            let answer = try await client.trpc("POST", "vm.executeCode", body: #"{"code":"x"}"#)
            #expect(answer.error?.code == code?.rawValue)
            let result = answer.data[0] as? [String: Any]
            if code == nil {
                #expect(
                    result?["exitCode"] as? Int == exitCode && result?["reason"] as? String == report.reason.rawValue)
            }
            _ = try await client.openTRPC("GET", "vm.executeCodeStream?input=" + escaped(#"{"command":"x"}"#))
            let events = try await client.streamToEnd()
            #expect(events.contains("serialized-error") == (code != nil))
            #expect(events.contains(#"{"type":"exit","code":\#(exitCode),"#) == (code == nil), "\(events)")
        }
    }

    @Test(arguments: [ServiceError.Code.vmFailed, .vmDestroyed])
    func aVMInWhichNothingRunsIsAResult(code: ServiceError.Code) async throws {
        var operations = GatewayOperations.seeded
        operations.execute = { _, _, _, _ in throw ServiceError(code, "It is broken.", hint: "Mend it.") }
        try await withTRPC(operations) { client in
            let answer = try await client.trpc("POST", "vm.executeCode", body: #"{"code":"x"}"#)
            let result = try #require(answer.data[0] as? [String: Any])
            #expect(result["exitCode"] as? Int == 1 && result["stderr"] as? String == "It is broken. Mend it.\n")
            #expect(result["reason"] as? String == "not_run" && result["stdout"] as? String == "")
            _ = try await client.openTRPC("GET", "vm.executeCodeStream?input=" + escaped(#"{"command":"x"}"#))
            let events = try await client.streamToEnd()
            #expect(events.contains(#"data: {"type":"error","message":"It is broken.""#), "\(events)")
            #expect(events.hasSuffix("id: none\ndata: {}\n\nevent: return\ndata: {}\n\n"), "\(events)")
        }
    }

    @Test func theBudgetIsGivenBack() async throws {
        let operations = GatewayOperations.running { send in
            try await send(.output(.stdout, [UInt8](repeating: 97, count: 1_000)))
            try await send(.exit(.exited(0)))
        }
        try await withTRPC(operations) {
            $0.bufferedOutputTotal = 1_500
        } _: { client in
            for _ in 0..<3 {
                #expect(try await client.trpc("POST", "vm.executeCode", body: #"{"code":"x"}"#).status == 200)
            }
            let two = try await client.trpc(
                "POST", "vm.executeCode,vm.executeCode?batch=1", body: #"{"0":{"code":"x"},"1":{"code":"x"}}"#)
            #expect(two.status == 207 && two.head.contains("retry-after: 1"))
            #expect(try await client.trpc("POST", "vm.executeCode", body: #"{"code":"x"}"#).status == 200)
        }
    }

    // MARK: JSON Lines

    private static let lines = ["trpc-accept: application/jsonl"]

    @Test(arguments: ["trpc-accept: application/jsonl", "accept: application/jsonl"])
    func theFasterCallIsAnsweredFirst(header: String) async throws {
        var operations = GatewayOperations.seeded
        let gate = Latch()
        operations.trpc.vm = { _ in
            try await gate.wait()
            return nil
        }
        try await withTRPC(operations) { client in
            let head = try await client.openTRPC(
                "GET", "vm.getMyVm,vm.listRegions,vm.getAllVms?batch=1&input=%7B%7D", [header])
            #expect(head.hasPrefix("http/1.1 200") && head.contains("content-type: application/json\r\n"))
            let first = try await client.read(until: "[[{\"result\":{\"data\":[\"here\"]}}]]]\n")
            #expect(first.contains(#"{"0":[[0],[null,0,0]],"1":[[0],[null,0,1]],"2":[[{"error":{"message":"Admin"#))
            #expect(first.contains("[1,0,[[{\"result\"") && !first.contains("[0,0,"))
            gate.open()
            let rest = try await client.read(until: "\r\n0\r\n\r\n")
            #expect(rest.contains(#"[0,0,[[{"result":{"data":null}}]]]"#))
        }
    }

    @Test func silenceBetweenLinesIsFilledWithSpaces() async throws {
        var operations = GatewayOperations.seeded
        let gate = Latch()
        operations.trpc.vm = { _ in
            try await gate.wait()
            return nil
        }
        try await withTRPC(operations) {
            $0.trpc.pingInterval = .milliseconds(5)
        } _: { client in
            _ = try await client.openTRPC("GET", "vm.getMyVm?batch=1", Self.lines)
            for _ in 0..<3 { try await client.read(until: "\r\n1\r\n \r\n") }
            gate.open()
            let lines = try await client.streamToEnd().split(separator: "\n")
            #expect(
                lines.last.map { $0.trimmingCharacters(in: .whitespaces) } == #"[0,0,[[{"result":{"data":null}}]]]"#)
        }
    }

    @Test func faultsOfAllOfItAreInTheHead() async throws {
        try await withTRPC(.seeded) {
            $0.trpc.batchLimit = 1
        } _: { client in
            for (path, token, code) in [
                ("vm.getMyVm,vm.listRegions?batch=1", "mlt_good", "Batch call exceeds maximum size"),
                ("vm.getMyVm?batch=1", "mlt_bad", "UNAUTHORIZED"), ("vm.nope?batch=1", "mlt_good", "NOT_FOUND"),
            ] {
                let head = try await client.openTRPC("GET", path, Self.lines, token: token)
                #expect(head.hasPrefix("http/1.1 200"))
                let text = try await client.streamToEnd()
                #expect(text.hasPrefix(#"{"0":[[{"error":{"#) && text.contains(code), "\(text)")
                for line in text.split(separator: "\n") {
                    #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) != nil, "\(line)")
                }
            }
        }
    }

    @Test func aRunIsHandedOutValueByValue() async throws {
        let gate = Latch()
        let operations = Self.ending(.exited(3)) { try await gate.wait() }
        try await withTRPC(operations) { client in
            let body = #"{"0":{"code":"x","stream":true}}"#
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", Self.lines, body: body)
            let first = try await client.read(until: #"[2,1,[[{"type":"stdout","data":"out\n"}]]]"#)  // while it runs
            #expect(
                first.contains(#"{"0":[[0],[null,0,0]]}"#) && first.contains(#"[0,0,[[{"result":0}],["result",0,1]]]"#))
            #expect(first.contains(#"[1,0,[[{"data":0}],["data",1,2]]]"#))
            gate.open()
            let rest = try await client.read(until: "\r\n0\r\n\r\n")
            #expect(rest.contains(#"[2,0,[[{"exitCode":3,"signal":null,"reason":"exited""#), "\(rest)")
            // One who did not ask for that gets the object its type says.
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", Self.lines, body: #"{"0":{"code":"x"}}"#)
            #expect(try await client.streamToEnd().contains(#"[0,0,[[{"result":{"data":{"stdout":"out\n""#))
        }
        try await withTRPC(Self.ending(Self.report(.timeout))) { client in
            let body = #"{"0":{"code":"x","stream":true}}"#
            _ = try await client.openTRPC("POST", "vm.executeCode?batch=1", Self.lines, body: body)
            let text = try await client.streamToEnd()
            #expect(text.split(separator: "\n").last?.hasPrefix(#"[2,2,{"message":"The program ran too long"#) == true)
        }
    }

    enum Link: CaseIterable { case plain, lines, values, subscription }

    @Test(arguments: Link.allCases) func leavingEndsTheRun(link: Link) async throws {
        let started = Latch()
        let ended = Latch()
        let operations = GatewayOperations.running { send in
            defer { ended.open() }
            try await send(.started(ExecutionID()))
            started.open()
            try await Latch().wait()  // prints nothing, for ever
        }
        try await withTRPC(operations) { client in
            switch link {
            case .plain:
                try await client.request(
                    "POST", "/api/trpc/vm.executeCode", ["content-type: application/json"],
                    body: #"{"code":"x"}"#)
            case .lines:
                _ = try await client.openTRPC(
                    "POST", "vm.executeCode?batch=1", Self.lines, body: #"{"0":{"code":"x"}}"#)
            case .values:
                _ = try await client.openTRPC(
                    "POST", "vm.executeCode?batch=1", Self.lines, body: #"{"0":{"code":"x","stream":true}}"#)
            case .subscription:
                _ = try await client.openTRPC("GET", "vm.executeCodeStream?input=" + escaped(#"{"command":"x"}"#))
            }
            try await started.wait()
            let clock = ContinuousClock.now
            try await client.channel.close()
            try await withDeadline(.seconds(5), "end of the run") { try await ended.wait() }
            #expect(ContinuousClock.now - clock < .seconds(1))
        }
    }

    @Test(arguments: [Link.values, .subscription]) func aShutdownIsTheLastWord(link: Link) async throws {
        let started = Latch()
        let operations = GatewayOperations.running { send in
            try await send(.output(.stdout, [97]))
            started.open()
            try await Latch().wait()
        }
        try await withGateway(operations) {
            $0.drainTimeout = .milliseconds(50)
        } _: { port, shutDown in
            try await RawClient.connected(to: port) { client in
                if link == .values {
                    _ = try await client.openTRPC(
                        "POST", "vm.executeCode?batch=1", Self.lines, body: #"{"0":{"code":"x","stream":true}}"#)
                } else {
                    _ = try await client.openTRPC("GET", "vm.executeCodeStream?input=" + escaped(#"{"command":"x"}"#))
                }
                try await started.wait()
                await shutDown()
                let text = try await client.readToEnd()
                #expect(text.contains("The gateway shut down") && text.hasSuffix("0\r\n\r\n"), "\(text)")
            }
        }
    }
}
