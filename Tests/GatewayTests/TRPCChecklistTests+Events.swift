import Execution
import Fleet
import Foundation
import Synchronization
import Testing

@testable import Gateway

/// Rows 29 to 35: subscriptions, as `httpSubscriptionLink` and the EventSource under it open them.
extension TRPCChecklistTests {
    @Test("row 29: a subscription begins with connected and ends with return")
    func aRunIsASequenceOfBareValues() async throws {
        try await withTRPC(.printing) { client in
            let head = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#), eventsHeader)
            #expect(head.hasPrefix("http/1.1 200") && head.contains("content-type: text/event-stream\r\n"))
            #expect(head.contains("cache-control: no-cache, no-transform") && head.contains("x-accel-buffering: no"))
            let events = StreamEvent.all(in: try await client.streamToEnd())
            #expect(events.first == StreamEvent(name: "connected", data: "{}"))
            let values = events.filter { $0.name == "message" }
            #expect(values.map { $0.lastID } == ["", "", ""])  // so the program gets them bare
            #expect(values[0].data == #"{"type":"stdout","data":"é1\n"}"#)
            #expect(values[1].data == #"{"type":"stderr","data":"2\n"}"#)
            #expect(values[2].data?.hasPrefix(#"{"type":"exit","code":0,"#) == true)
            #expect(events.last?.name == "return" && events.last?.lastID == "\(subscribedRun):3:4:2:end")
            // And the connection goes on.
            #expect(try await client.trpc("GET", "vm.listRegions").status == 200)
        }
    }

    /// A gateway that shuts down ends its streams. What the program printed meanwhile, nobody got; the next gateway
    /// knows it from the history.
    @Test("row 30: who was cut off after event 3 gets 4 onward, by the header")
    func whoWasCutOffGetsTheRest() async throws {
        let runs = Mutex(0)
        let printed = Latch()
        let ended = Latch()
        var operations = GatewayOperations.running { send in
            runs.withLock { $0 += 1 }
            defer { ended.open() }
            for number in 1...3 { try await send(.output(.stdout, Array("\(number)\n".utf8))) }
            printed.open()
            try await Latch().wait()
        }
        operations.execution = { id, _ in
            .ended(id, state: .cancelled, exitCode: nil, stdout: Array("1\n2\n3\n4\n5\n".utf8), stderr: [])
        }
        let path = subscription(#"{"command":"x","tracked":true}"#)
        var first: [StreamEvent] = []
        try await withGateway(operations) {
            $0.drainTimeout = .milliseconds(50)
        } _: { port, shutDown in
            try await RawClient.connected(to: port) { client in
                _ = try await client.openTRPC("GET", path, eventsHeader)
                var text = try await client.read(until: #"{"type":"stdout","data":"3\n"}"#)
                try await printed.wait()
                await shutDown()
                text += try await client.readToEnd()
                first = StreamEvent.all(in: unchunked(text).data)
            }
        }
        try await ended.wait()
        let last = try #require(first.last?.error)
        #expect(last.number == -32_603 && last.code == "SERVICE_UNAVAILABLE")  // so it comes back
        let id = try #require(first.last?.lastID)
        #expect(id == "\(subscribedRun):3:6:0" && first.map(\.printed).joined() == "1\n2\n3\n")
        try await withTRPC(operations) { client in
            _ = try await client.openTRPC("GET", path, eventsHeader + ["Last-Event-ID: \(id)"])
            let rest = StreamEvent.all(in: try await client.streamToEnd(), lastID: id)
            #expect(rest.first?.name == "connected" && rest.last?.name == "return")
            #expect(rest.map(\.printed).joined() == "4\n5\n")  // none twice, none missing
            let values = rest.filter { $0.name == "message" }
            #expect(values.map(\.lastID) == ["\(subscribedRun):4:10:0", "\(subscribedRun):5:10:0:end"])
            #expect(values.last?.data?.contains("The run was cancelled") == true)
        }
        #expect(runs.withLock { $0 } == 1)
    }

    @Test("row 31: the same by an id in the input, after silence", arguments: [false, true])
    func theIDMayComeInTheInput(isTracked: Bool) async throws {
        let runs = Mutex(0)
        var operations = GatewayOperations.printing
        let execute = operations.execute
        operations.execute = { request, caller, id, body in
            runs.withLock { $0 += 1 }
            try await execute(request, caller, id, body)
        }
        operations.execution = { id, _ in
            .ended(id, state: .exited, exitCode: 0, stdout: Array("é1\n".utf8), stderr: Array("2\n".utf8))
        }
        try await withTRPC(operations) { client in
            let tracked = isTracked ? #","tracked":true"# : ""
            for (position, printed) in [("0:0:0", "é1\n2\n"), ("1:4:0", "2\n"), ("2:4:2", ""), ("3:4:2:end", nil)] {
                let id = "\(subscribedRun):\(position)"
                _ = try await client.openTRPC(
                    "GET", subscription(#"{"command":"x"\#(tracked),"lastEventId":"\#(id)"}"#), eventsHeader)
                let events = StreamEvent.all(in: try await client.streamToEnd())
                // The client opens the new subscription as silent as the one before, so it is told the limit again.
                #expect(events.first?.data == #"{"reconnectAfterInactivityMs":30000}"# && events.last?.name == "return")
                let values = events.filter { $0.name == "message" }
                #expect(values.map(\.printed).joined() == printed ?? "")
                #expect(values.last?.data?.hasPrefix(#"{"type":"exit","code":0,"#) == (printed == nil ? nil : true))
                #expect(values.allSatisfy { $0.lastID.hasPrefix(subscribedRun) })  // handed over with their ids
            }
        }
        #expect(runs.withLock { $0 } == 0)
    }

    @Test("row 32: a subscription's token comes in connectionParams, and a bad one is an event")
    func aTokenComesInTheQuery() async throws {
        try await withTRPC(.printing) { client in
            func open(_ token: String) async throws -> [StreamEvent] {
                // In the order of the client: the parameters before the input.
                let path =
                    "vm.executeCodeStream?connectionParams=" + escaped(#"{"token":"\#(token)"}"#)
                    + "&input=" + escaped(#"{"command":"x"}"#)
                let head = try await client.openTRPC("GET", path, eventsHeader, token: nil)
                #expect(head.hasPrefix("http/1.1 200") && head.contains("text/event-stream"))
                return StreamEvent.all(in: try await client.streamToEnd())
            }
            let good = try await open("mlt_good")
            #expect(good.map(\.printed).joined() == "é1\n2\n" && good.last?.name == "return")
            let bad = try await open("mlt_bad")
            #expect(bad.map(\.name) == ["connected", "serialized-error"])
            #expect(bad[1].error?.code == "UNAUTHORIZED" && bad[1].error?.number == -32_001)
        }
    }

    /// After -32603 the client waits for the end of the connection and opens another; after any other number it is done.
    @Test("row 33: a subscription that fails for a while says -32603 and ends", arguments: ServiceError.Code.allCases)
    func whatFailsForGoodEndsASubscription(code: ServiceError.Code) async throws {
        let passing: Set<ServiceError.Code> = [
            .vmUnreachable, .hostKeyMismatch, .executionLost, .vmStartTimeout, .serviceUnavailable, .shuttingDown,
            .internalError, .noHostAvailable,
        ]
        var operations = GatewayOperations.seeded
        operations.execute = { _, _, _, _ in throw ServiceError(code, "No.", hint: "None.") }
        try await withTRPC(operations) { client in
            let head = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#), eventsHeader)
            #expect(head.hasPrefix("http/1.1 200"))
            let events = StreamEvent.all(in: try await client.streamToEnd())  // the answer's end, not silence
            #expect(events.first?.name == "connected")
            if code == .vmFailed || code == .vmDestroyed {  // nothing runs there until somebody acts: a value
                #expect(events.last?.name == "return")
            } else {
                let error = try #require(events.last?.error)
                #expect((error.number == -32_603) == passing.contains(code) && error.service == code.rawValue)
                #expect(events.last?.lastID == "")  // so it asks from the start: nothing was run
            }
        }
    }

    @Test("row 34: unsubscribing ends the run within a second")
    func unsubscribingEndsTheRun() async throws {
        try await expectLeavingEndsTheRun { client in
            _ = try await client.openTRPC("GET", subscription(#"{"command":"x"}"#), eventsHeader)
        }
    }

    /// The limit is set short. The stream is silent for longer than it; no pause between two bytes is.
    @Test("row 35: pings outlast the client's patience")
    func pingsOutlastTheClientsPatience() async throws {
        let usual = TRPCConfiguration()
        #expect(usual.pingInterval * 2 < usual.reconnectAfterInactivity)
        let patience = Duration.seconds(2)
        let gate = Latch()
        let operations = GatewayOperations.running { send in
            try await send(.output(.stdout, Array("1\n".utf8)))
            try await gate.wait()
            try await send(.output(.stdout, Array("2\n".utf8)))
            try await send(.exit(.exited(0)))
        }
        try await withTRPC(operations) {
            $0.trpc.pingInterval = .milliseconds(20)
            $0.trpc.reconnectAfterInactivity = patience
        } _: { client in
            _ = try await client.openTRPC("GET", subscription(#"{"command":"x","tracked":true}"#), eventsHeader)
            var text = try await client.read(until: #"{"type":"stdout","data":"1\n"}"#)
            let begin = ContinuousClock.now
            var heard = begin
            var pings = 0
            while ContinuousClock.now - begin < patience * 1.1 {
                text += try await client.read(until: "event: ping\ndata: {}\n\n\r\n")
                #expect(ContinuousClock.now - heard < patience)
                heard = .now
                pings += 1
            }
            #expect(pings > 2)
            gate.open()
            text += try await client.read(until: "\r\n0\r\n\r\n")
            let events = StreamEvent.all(in: unchunked(text).data)
            #expect(events[0].data == #"{"reconnectAfterInactivityMs":2000}"#)
            #expect(events.map(\.printed).joined() == "1\n2\n" && events.last?.name == "return")
            let ids = events.filter { $0.name == "message" }.map(\.lastID)
            #expect(ids == ["\(subscribedRun):1:2:0", "\(subscribedRun):2:4:0", "\(subscribedRun):3:4:0:end"])
            // A ping has no id: who is cut off in the silence asks from the last value on.
            #expect(events.first { $0.name == "ping" }?.lastID == "\(subscribedRun):1:2:0")
        }
    }
}
