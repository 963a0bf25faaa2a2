import Execution
import Fleet
import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Subscriptions beyond the checklist (`TRPCChecklistTests`).
@Suite struct TRPCSubscriptionTests {
    @Test func trackedValuesHaveTheirPositions() async throws {
        try await withTRPC(.printing) { client in
            _ = try await client.openTRPC("GET", subscription(#"{"code":"x","tracked":true}"#))
            let events = StreamEvent.all(in: try await client.streamToEnd())
            #expect(
                events[0].data == #"{"reconnectAfterInactivityMs":30000}"#
                    && events[0].lastID == "\(subscribedRun):0:0:0")
            let ids = events.filter { $0.name == "message" }.map(\.lastID)
            #expect(ids == ["\(subscribedRun):1:4:0", "\(subscribedRun):2:4:2", "\(subscribedRun):3:4:2:end"])
        }
    }

    /// Wherever the connection was cut, the EventSource that opens it again says so, and nothing runs twice.
    @Test(arguments: [false, true]) func whoComesBackIsToldTheRest(isTracked: Bool) async throws {
        let runs = Mutex(0)
        var operations = GatewayOperations.printing
        let execute = operations.execute
        operations.execute = { request, caller, id, body in
            runs.withLock { $0 += 1 }
            try await execute(request, caller, id, body)
        }
        operations.execution = { id, _ in
            id.description == subscribedRun
                ? .ended(id, state: .exited, exitCode: 0, stdout: Array("é1\n".utf8), stderr: Array("2\n".utf8)) : nil
        }
        try await withTRPC(operations) { client in
            for (position, values) in [
                ("0:0:0", [#"{"type":"stdout","data":"é1\n"}"#, #"{"type":"stderr","data":"2\n"}"#, "exit"]),
                ("1:4:0", [#"{"type":"stderr","data":"2\n"}"#, "exit"]), ("2:4:2", ["exit"]), ("3:4:2:end", []),
            ] {
                let id = "\(subscribedRun):\(position)"
                let input = isTracked ? #"{"command":"x","tracked":true}"# : #"{"command":"x"}"#
                _ = try await client.openTRPC("GET", subscription(input), ["Last-Event-ID: \(id)"])
                let events = StreamEvent.all(in: try await client.streamToEnd())
                let got = events.filter { $0.name == "message" }
                #expect(got.count == values.count, "\(position): \(got)")
                for (event, value) in zip(got, values) {
                    #expect(
                        value == "exit" ? event.data?.contains(#""type":"exit","code":0"#) == true : event.data == value
                    )
                    #expect(event.lastID.isEmpty == !isTracked)
                }
                #expect(events.first?.name == "connected" && events.last?.name == "return")
            }
            for unknown in ["3", "\(ExecutionID()):0:0:0", "\(subscribedRun):-1:0:0", "\(subscribedRun):0:0:0:x"] {
                _ = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#), ["Last-Event-ID: \(unknown)"])
                let last = try #require(StreamEvent.all(in: try await client.streamToEnd()).last)
                #expect(last.name == "serialized-error" && last.data?.contains(#""code":-32004"#) == true)
            }
        }
        #expect(runs.withLock { $0 } == 0)
    }

    @Test func aRunThatWasLeftIsEndedAndToldAsItWas() async throws {
        let cancelled = Latch()
        var operations = GatewayOperations.seeded
        operations.cancel = { _, _ in cancelled.open() }
        operations.execution = { id, _ in
            .ended(id, state: cancelled.isOpen ? .cancelled : .running, exitCode: nil, stdout: [], stderr: [])
        }
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC(
                "GET", subscription(#"{"command":"x"}"#), ["Last-Event-ID: \(subscribedRun):0:0:0"])
            let values = StreamEvent.all(in: try await client.streamToEnd()).filter { $0.name == "message" }
            #expect(
                values.count == 1
                    && values[0].data?.contains(#"{"type":"error","message":"The run was cancelled"#) == true)
        }
        operations.execution = { id, _ in .ended(id, state: .timeout, exitCode: nil, stdout: [97], stderr: []) }
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC(
                "GET", subscription(#"{"command":"x"}"#), ["Last-Event-ID: \(subscribedRun):0:0:0"])
            let text = try await client.streamToEnd()
            #expect(text.contains(#"{"type":"stdout","data":"a"}"#) && text.contains(#""code":"TIMEOUT""#), "\(text)")
        }
        operations.execution = { id, _ in
            .ended(id, state: .exited, exitCode: 3, stdout: [97], stderr: [], stdoutBytes: 100)
        }
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC(
                "GET", subscription(#"{"command":"x"}"#), ["Last-Event-ID: \(subscribedRun):0:0:0"])
            let text = try await client.streamToEnd()
            #expect(
                text.contains(#"{"type":"stdout","data":"a"}"#) && text.contains("99 bytes of its output were not kept")
            )
            #expect(text.contains("exit code 3") && !text.contains(#""type":"exit""#))
        }
    }

    @Test(arguments: [
        ("vm.nope", "mlt_good", "-32004"), ("vm.executeCodeStream", "mlt_bad", "-32001"),
        ("vm.executeCodeStream", "mlt_good", "-32600"), ("vm.executeCodeStream?input=%7B", "mlt_good", "-32600"),
        ("vm.executeCodeStream?connectionParams=%7B", "mlt_good", "-32700"), ("vm.getMyVm", "mlt_good", "-32005"),
        ("vm.executeCodeStream?batch=1", "mlt_good", "-32600"), ("%ZZ", "mlt_good", "-32600"),
    ])
    func faultsAreEvents(path: String, token: String, number: String) async throws {
        try await withTRPC { client in
            let head = try await client.openTRPC("GET", path, ["accept: text/event-stream"], token: token)
            #expect(head.hasPrefix("http/1.1 200") && head.contains("text/event-stream"))
            let events = StreamEvent.all(in: try await client.streamToEnd())
            #expect(events.map(\.name) == ["connected", "serialized-error"])
            #expect(events[1].data?.contains("\"code\":\(number)") == true, "\(events)")
        }
    }

    @Test func aSubscriptionNeedsNoHeaderAtAll() async throws {
        try await withTRPC(.printing) { client in
            let parameters = "&connectionParams=" + escaped(#"{"token":"mlt_good"}"#)
            let head = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#) + parameters, token: nil)
            #expect(head.contains("text/event-stream"))
            #expect(try await client.streamToEnd().contains("event: return"))
            let post = try await client.openTRPC("POST", "vm.executeCodeStream", body: #"{"command":"x"}"#)
            #expect(post.hasPrefix("http/1.1 200"))
            #expect(try await client.streamToEnd().contains(#""code":-32005"#))
        }
    }
}
