import EventLoop
import Execution
import Fleet
import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Subscriptions, as `httpSubscriptionLink` and the EventSource under it open them.
@Suite struct TRPCSubscriptionTests {
    private static let id = "4bf83d8a-0000-4000-8000-000000000000"

    private static func path(_ input: String) -> String { "vm.executeCodeStream?input=" + escaped(input) }

    private static let printing = GatewayOperations.running { send in
        try await send(.output(.stdout, Array("é".utf8.prefix(1))))
        try await send(.output(.stdout, Array("é".utf8.dropFirst()) + Array("1\n".utf8)))
        try await send(.output(.stderr, Array("2\n".utf8)))
        try await send(.exit(.exited(0)))
    }

    /// What an EventSource makes of a stream (HTML Standard, "server-sent events", 9.2.6).
    struct Event: Equatable {
        var name = "message"
        var data: String?
        var lastID = ""
    }

    private static func events(_ text: String) -> [Event] {
        var lastID = ""
        return text.split(separator: "\n\n", omittingEmptySubsequences: true).compactMap { block in
            var event = Event()
            for line in block.split(separator: "\n") {
                let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                let value = parts.count < 2 ? "" : String(parts[1].first == " " ? parts[1].dropFirst() : parts[1])
                switch parts[0] {
                case "event": event.name = value
                case "data": event.data = (event.data.map { $0 + "\n" } ?? "") + value
                case "id": lastID = value
                default: break
                }
            }
            event.lastID = lastID
            return event.data == nil ? nil : event
        }
    }

    @Test func aRunIsASequenceOfBareValues() async throws {
        try await withTRPC(Self.printing) { client in
            let head = try await client.openTRPC(
                "GET", Self.path(#"{"command":"x"}"#), ["accept: text/event-stream"])
            #expect(head.hasPrefix("http/1.1 200") && head.contains("content-type: text/event-stream\r\n"))
            #expect(head.contains("cache-control: no-cache, no-transform") && head.contains("x-accel-buffering: no"))
            let events = Self.events(try await client.streamToEnd())
            #expect(events.first == Event(name: "connected", data: "{}"))
            let values = events.filter { $0.name == "message" }
            #expect(values.map { $0.lastID } == ["", "", ""])  // so the program gets them bare
            #expect(values[0].data == #"{"type":"stdout","data":"é1\n"}"#)
            #expect(values[1].data == #"{"type":"stderr","data":"2\n"}"#)
            #expect(values[2].data?.hasPrefix(#"{"type":"exit","code":0,"#) == true)
            #expect(events.last?.name == "return" && events.last?.lastID == "\(Self.id):3:4:2:end")
            // And the connection goes on.
            #expect(try await client.trpc("GET", "vm.listRegions").status == 200)
        }
    }

    @Test func trackedValuesHaveTheirPositions() async throws {
        try await withTRPC(Self.printing) { client in
            _ = try await client.openTRPC("GET", Self.path(#"{"code":"x","tracked":true}"#))
            let events = Self.events(try await client.streamToEnd())
            #expect(
                events[0].data == #"{"reconnectAfterInactivityMs":30000}"# && events[0].lastID == "\(Self.id):0:0:0")
            let ids = events.filter { $0.name == "message" }.map(\.lastID)
            #expect(ids == ["\(Self.id):1:4:0", "\(Self.id):2:4:2", "\(Self.id):3:4:2:end"])
        }
    }

    /// Wherever the connection was cut, the EventSource that opens it again says so, and nothing runs twice.
    @Test(arguments: [
        ("", false), (#","tracked":true"#, false), (#","lastEventId":"ID""#, true),
    ])
    func whoComesBackIsToldTheRest(fields: String, isInInput: Bool) async throws {
        let runs = Mutex(0)
        var operations = Self.printing
        let execute = operations.execute
        operations.execute = { request, caller, id, body in
            runs.withLock { $0 += 1 }
            try await execute(request, caller, id, body)
        }
        operations.execution = { id, _ in
            id.description == Self.id
                ? .ended(id, state: .exited, exitCode: 0, stdout: Array("é1\n".utf8), stderr: Array("2\n".utf8)) : nil
        }
        try await withTRPC(operations) { client in
            for (position, values) in [
                ("0:0:0", [#"{"type":"stdout","data":"é1\n"}"#, #"{"type":"stderr","data":"2\n"}"#, "exit"]),
                ("1:4:0", [#"{"type":"stderr","data":"2\n"}"#, "exit"]), ("2:4:2", ["exit"]), ("3:4:2:end", []),
            ] {
                let id = "\(Self.id):\(position)"
                let input = #"{"command":"x"\#(fields.replacing("ID", with: id))}"#
                _ = try await client.openTRPC(
                    "GET", Self.path(input), isInInput ? [] : ["Last-Event-ID: \(id)"])
                let events = Self.events(try await client.streamToEnd())
                let got = events.filter { $0.name == "message" }
                #expect(got.count == values.count, "\(position): \(got)")
                for (event, value) in zip(got, values) {
                    #expect(
                        value == "exit" ? event.data?.contains(#""type":"exit","code":0"#) == true : event.data == value
                    )
                    #expect(event.lastID.isEmpty == fields.isEmpty)
                }
                #expect(events.first?.name == "connected" && events.last?.name == "return")
            }
            for unknown in ["3", "\(ExecutionID()):0:0:0", "\(Self.id):-1:0:0", "\(Self.id):0:0:0:x"] {
                _ = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#), ["Last-Event-ID: \(unknown)"])
                let last = try #require(Self.events(try await client.streamToEnd()).last)
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
            _ = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#), ["Last-Event-ID: \(Self.id):0:0:0"])
            let values = Self.events(try await client.streamToEnd()).filter { $0.name == "message" }
            #expect(
                values.count == 1
                    && values[0].data?.contains(#"{"type":"error","message":"The run was cancelled"#) == true)
        }
        operations.execution = { id, _ in .ended(id, state: .timeout, exitCode: nil, stdout: [97], stderr: []) }
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#), ["Last-Event-ID: \(Self.id):0:0:0"])
            let text = try await client.streamToEnd()
            #expect(text.contains(#"{"type":"stdout","data":"a"}"#) && text.contains(#""code":"TIMEOUT""#), "\(text)")
        }
        operations.execution = { id, _ in
            .ended(id, state: .exited, exitCode: 3, stdout: [97], stderr: [], stdoutBytes: 100)
        }
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#), ["Last-Event-ID: \(Self.id):0:0:0"])
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
            let events = Self.events(try await client.streamToEnd())
            #expect(events.map(\.name) == ["connected", "serialized-error"])
            #expect(events[1].data?.contains("\"code\":\(number)") == true, "\(events)")
        }
    }

    @Test func aSubscriptionNeedsNoHeaderAtAll() async throws {
        try await withTRPC(Self.printing) { client in
            let parameters = "&connectionParams=" + escaped(#"{"token":"mlt_good"}"#)
            let head = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#) + parameters, token: nil)
            #expect(head.contains("text/event-stream"))
            #expect(try await client.streamToEnd().contains("event: return"))
            let post = try await client.openTRPC("POST", "vm.executeCodeStream", body: #"{"command":"x"}"#)
            #expect(post.hasPrefix("http/1.1 200"))
            #expect(try await client.streamToEnd().contains(#""code":-32005"#))
        }
    }

    @Test func silenceIsFilledWithPings() async throws {
        let gate = Latch()
        let operations = GatewayOperations.running { send in
            try await gate.wait()
            try await send(.exit(.exited(0)))
        }
        try await withTRPC(operations) {
            $0.trpc.pingInterval = .milliseconds(10)
        } _: { client in
            _ = try await client.openTRPC("GET", Self.path(#"{"command":"x"}"#))
            for _ in 0..<3 { try await client.read(until: "event: ping\ndata: {}\n\n") }
            gate.open()
            try await client.read(until: "event: return\ndata: {}\n\n")
        }
    }
}

extension ExecutionView {
    static func ended(
        _ id: ExecutionID, state: ExecutionState, exitCode: Int?, stdout: [UInt8], stderr: [UInt8],
        stdoutBytes: Int? = nil
    ) -> ExecutionView {
        ExecutionView(
            id: id, environmentId: EnvironmentID(), requestId: nil, state: state.rawValue, language: "bash",
            codeBytes: 1, exitCode: exitCode, signal: nil, durationMs: 1, cpuMs: 1, maxRssBytes: 1, truncated: false,
            stdoutBytes: stdoutBytes ?? stdout.count, stderrBytes: stderr.count, errorCode: nil, errorMessage: nil,
            startedAt: .now, finishedAt: .now, stdout: TextOrBytes(bytes: stdout), stderr: TextOrBytes(bytes: stderr))
    }
}
