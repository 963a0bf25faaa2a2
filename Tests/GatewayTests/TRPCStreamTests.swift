import Execution
import Fleet
import Foundation
import Testing

@testable import Gateway

/// Runs over tRPC beyond the checklist (`TRPCChecklistTests`).
@Suite struct TRPCRunTests {
    @Test(arguments: [
        (ExitReport.stopped(.signaled, signal: "SIGSEGV"), nil, 139), (ExitReport.stopped(.memory), nil, 137),
        (ExitReport.stopped(.cancelled, signal: nil), nil, 137), (ExitReport.stopped(.timeout), TRPCCode.timeout, 0),
        (ExitReport.stopped(.outputLimit), .payloadTooLarge, 0),
    ])
    func whatDidNotEndByItselfIsToldTruly(report: ExitReport, code: TRPCCode?, exitCode: Int) async throws {
        try await withTRPC(.ending(report)) { client in
            let answer = try await client.trpc("POST", "vm.executeCode", body: #"{"code":"x"}"#)
            #expect(answer.error?.code == code?.rawValue)
            let result = answer.data[0] as? [String: Any]
            if code == nil {
                #expect(
                    result?["exitCode"] as? Int == exitCode && result?["reason"] as? String == report.reason.rawValue)
            }
            _ = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#))
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
            _ = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#))
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

    @Test func aRunNeedsCode() async throws {
        try await withTRPC(.ending(.exited(3))) { client in
            for input in ["", "{}", #"{"code":""}"#, #"{"code":1}"#, #"{"code":"x","args":1}"#] {
                let answer = try await client.trpc("POST", "vm.executeCode", body: input)
                #expect(answer.status == 400 && answer.error?.number == -32_600, "\(input): \(answer.text)")
            }
        }
    }

    @Test func leavingAPlainCallEndsItsRun() async throws {
        try await expectLeavingEndsTheRun { client in
            try await client.request(
                "POST", "/api/trpc/vm.executeCode", ["content-type: application/json"], body: #"{"code":"x"}"#)
        }
    }

    @Test func aShutdownIsTheLastLine() async throws {
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
                _ = try await client.openTRPC(
                    "POST", "vm.executeCode?batch=1", linesHeader, body: #"{"0":{"code":"x","stream":true}}"#)
                try await started.wait()
                await shutDown()
                let text = try await client.readToEnd()
                #expect(text.contains("The gateway shut down") && text.hasSuffix("0\r\n\r\n"), "\(text)")
            }
        }
    }
}
