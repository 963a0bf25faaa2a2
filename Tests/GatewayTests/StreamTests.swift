import EventLoop
import Execution
import Fleet
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import Gateway

/// How a run's stream reaches a client, and what becomes of the run when it does not.
@Suite struct StreamTests {
    @Test func eventsComeAsTheyHappenAndTheConnectionGoesOn() async throws {
        let gates = [Latch(), Latch()]
        let operations = GatewayOperations.running { send in
            try await gates[0].wait()
            try await send(.started(ExecutionID()))
            try await send(.output(.stdout, Array("one".utf8)))
            try await gates[1].wait()
            try await send(.exit(.exited(0)))
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.execute()
                let head = try await client.read(until: "\r\n\r\n")  // before anything happened
                #expect(head.hasPrefix("HTTP/1.1 200") && head.lowercased().contains("application/x-ndjson"))
                gates[0].open()
                try await client.read(until: #""data":"one"}"#)  // while the run goes on
                gates[1].open()
                #expect(try await client.read(until: "0\r\n\r\n").contains(#""event":"exit","exitCode":0"#))
                try await client.request("GET", "/healthz")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 200"))
                try await client.execute(["Accept: text/event-stream"])  // and another stream on it
                #expect(try await client.read(until: "\r\n\r\n").lowercased().contains("text/event-stream"))
                #expect(try await client.read(until: "0\r\n\r\n").contains("event: exit\ndata: {"))
            }
        }
    }

    @Test func plainTextHasItsExitCodeInATrailer() async throws {
        let operations = GatewayOperations.running { send in
            try await send(.status(.connecting, message: "…"))
            try await send(.started(ExecutionID("4bf83d8a-0000-4000-8000-000000000000")!))
            try await send(.output(.stdout, Array("out\n".utf8)))
            try await send(.output(.stderr, Array("err\n".utf8)))
            try await send(.exit(.exited(3)))
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.execute(["Accept: text/plain", "Connection: close"])
                let head = try await client.read(until: "\r\n\r\n").lowercased()
                #expect(head.contains("martlet-execution-id: 4bf83d8a") && head.contains("trailer: martlet-exit-code"))
                let (data, trailers) = unchunked(try await client.readToEnd())
                #expect(data == "out\nerr\n")
                #expect(trailers.lowercased().contains("martlet-exit-code: 3\r\nmartlet-exit-reason: exited\r\n"))
            }
            try await RawClient.connected(to: port) { client in  // no chunks for an old client
                let body = #"{"code":"x","language":"python"}"#
                try await client.send(
                    "POST /v1/execute HTTP/1.0\r\nAuthorization: Bearer mlt_good\r\nAccept: text/plain\r\n"
                        + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
                #expect(try await client.readToEnd().hasSuffix("\r\n\r\nout\nerr\n"))
            }
        }
    }

    @Test func oneDocumentHoldsEverything() async throws {
        let text = String(repeating: "日\u{2028}\"é\n", count: 20_000)
        let operations = GatewayOperations.running { send in
            try await send(.started(ExecutionID()))
            for chunk in stride(from: 0, to: text.utf8.count, by: 10_007) {
                try await send(.output(.stdout, Array(Array(text.utf8)[chunk...].prefix(10_007))))
            }
            try await send(.output(.stderr, [UInt8](repeating: 0xFF, count: 100_000)))
            try await send(.exit(.exited(0)))
        }
        struct Answer: Decodable {
            let executionId, stdout, stderr, reason: String
            let stderrEncoding: String?
            let stdoutEncoding: String?
            let exitCode: Int
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.execute(["Accept: application/json"])
                try await client.read(until: "\r\n\r\n")
                let (data, _) = unchunked(try await client.read(until: "\r\n0\r\n\r\n"))
                let answer = try JSONDecoder().decode(Answer.self, from: Data(data.utf8))
                #expect(answer.stdout == text && answer.stdoutEncoding == nil && answer.exitCode == 0)
                #expect(answer.stderrEncoding == "base64")
                #expect(Data(base64Encoded: answer.stderr) == Data(repeating: 0xFF, count: 100_000))
            }
        }
    }

    /// An error before the run is an HTTP error where nothing was said yet, and an event where the head is out.
    @Test func aRunThatNeverHappensIsAnError() async throws {
        let operations = GatewayOperations.running { send in
            try await send(.status(.starting, message: "…"))
            try await send(.error(ServiceError(.vmStartTimeout, "Job start-1 is waiting.", hint: "Is a worker up?")))
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                for accept in ["text/plain", "application/json"] {
                    try await client.execute(["Accept: \(accept)"])
                    let (head, body) = try await client.response()
                    #expect(head.hasPrefix("HTTP/1.1 504") && body.contains("vm_start_timeout"), "\(head)")
                }
                try await client.execute()
                #expect(
                    try await client.read(until: "0\r\n\r\n").contains(#"{"event":"error","code":"vm_start_timeout""#))
            }
        }
    }

    enum Departure: CaseIterable { case close, reset, halfClose }

    @Test(arguments: Departure.allCases, ["application/x-ndjson", "text/plain", "application/json"])
    func aClientThatLeavesASilentRunEndsIt(departure: Departure, accept: String) async throws {
        let started = Latch()
        let ended = Latch()
        let operations = GatewayOperations.running { send in
            defer { ended.open() }
            try await send(.started(ExecutionID()))
            started.open()
            try await Latch().wait()  // prints nothing, for ever
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.execute(["Accept: \(accept)"])
                try await started.wait()
                let clock = ContinuousClock.now
                switch departure {
                case .close: try await client.channel.close()
                case .reset:
                    try await client.reset()
                case .halfClose: client.finishSending()
                }
                try await withDeadline(.seconds(5), "end of the run") { try await ended.wait() }
                #expect(ContinuousClock.now - clock < .seconds(1))
            }
        }
    }

    /// A reader that stops makes the run wait: what is produced stays within what kernel and one write hold.
    @Test func aReaderThatStopsStopsTheRun() async throws {
        let produced = Mutex(0)
        let total = 64 << 20
        let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 65_536)
        let operations = GatewayOperations.running { send in
            for _ in 0..<(total / chunk.count) {
                try await send(.output(.stdout, chunk))
                produced.withLock { $0 += chunk.count }
            }
            try await send(.exit(.exited(0)))
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port, receiveBuffer: 65_536) { client in
                try await client.execute(["Accept: text/plain"])
                var last = -1
                var rests = 0
                while rests < 20 {  // until nothing more is produced for 200 ms
                    try await Task.sleep(for: .milliseconds(10))  // the pause between two looks
                    let now = produced.withLock { $0 }
                    rests = now == last ? rests + 1 : 0
                    last = now
                }
                #expect(last < 12 << 20, "\(last) bytes were produced and not read")
                let head = try await client.read(until: "\r\n\r\n")
                #expect(head.hasPrefix("HTTP/1.1 200"))
                var count = 0
                while count < total { count += try await client.read(count: 1 << 20).utf8.count }
                #expect(try await client.read(until: "\r\n\r\n").contains("Martlet-Exit-Code: 0"))
            }
        }
    }

    @Test func stdinIsHandedOnInPiecesAndNotAheadOfTheProgram() async throws {
        let id = ExecutionID()
        let room = Latch()
        let log = Mutex<[(count: Int, end: Bool)]>([])
        var operations = GatewayOperations.refusing
        operations.writeStdin = { target, bytes, end, _ in
            guard target == id else { throw ServiceError(.executionNotRunning, "It has ended.", hint: "None.") }
            try await room.wait()
            log.withLock { $0.append((bytes.count, end)) }
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/executions/\(id)/stdin?end=1", ["Content-Length: 300000"])
                try await client.send([UInt8](repeating: 7, count: 300_000))
                room.open()
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 204"))
                let pieces = log.withLock { $0 }
                #expect(pieces.map(\.count).reduce(0, +) == 300_000 && pieces.allSatisfy { $0.count <= 65_536 })
                #expect(pieces.last?.count == 0 && pieces.filter(\.end).count == 1 && pieces.last?.end == true)

                log.withLock { $0 = [] }
                try await client.request("POST", "/v1/executions/\(id)/stdin", ["Content-Length: 2"])
                try await client.send("a\n")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 204"))
                let ends = log.withLock { $0.map(\.end) }
                #expect(ends == [false])

                try await client.request("POST", "/v1/executions/\(ExecutionID())/stdin?end=1")
                #expect(try await client.response().head.hasPrefix("HTTP/1.1 409"))
            }
        }
    }

    @Test func aClientThatVanishesWhileItsInputWaitsIsNoticed() async throws {
        let waiting = Latch()
        let ended = Latch()
        var operations = GatewayOperations.refusing
        operations.writeStdin = { _, _, _, _ in
            defer { ended.open() }
            waiting.open()
            try await Latch().wait()  // the program never reads
        }
        try await withGateway(operations) { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.request("POST", "/v1/executions/\(ExecutionID())/stdin", body: "a\n")
                try await waiting.wait()
                try await client.reset()
                try await withDeadline(.seconds(5), "end of the request") { try await ended.wait() }
            }
        }
    }

    @Test func bufferedAnswersAreBoundedTogether() async throws {
        let operations = GatewayOperations.running { send in
            for _ in 0..<4 { try await send(.output(.stdout, [UInt8](repeating: 97, count: 1_000))) }
            try await send(.exit(.exited(0)))
        }
        try await withGateway(operations) {
            $0.bufferedOutputTotal = 4_000
        } _: { port, _ in
            try await RawClient.connected(to: port) { client in
                for _ in 0..<3 {  // what one held, the next may hold
                    try await client.execute(["Accept: application/json"])
                    #expect(try await client.read(until: "\r\n0\r\n\r\n").hasPrefix("HTTP/1.1 200"))
                }
            }
        }
        try await withGateway(operations) {
            $0.bufferedOutputTotal = 3_999
        } _: { port, _ in
            try await RawClient.connected(to: port) { client in
                try await client.execute(["Accept: application/json"])
                let (head, body) = try await client.response()
                #expect(head.hasPrefix("HTTP/1.1 503") && body.contains("Accept: application/x-ndjson"), "\(body)")
            }
        }
    }

    @Test func shutdownLetsRunsEndAndThenEndsThem() async throws {
        let started = [Latch(), Latch()]
        let finish = Latch()
        let count = Mutex(0)
        let operations = GatewayOperations.running { send in
            let number = count.withLock {
                $0 += 1
                return $0 - 1
            }
            try await send(.started(ExecutionID()))
            started[number].open()
            if number == 0 { try await finish.wait() } else { try await Latch().wait() }
            try await send(.exit(.exited(0)))
        }
        try await withGateway(operations) {
            $0.drainTimeout = .seconds(2)
        } _: { port, shutDown in
            try await RawClient.connected(to: port) { idle in
                try await RawClient.connected(to: port) { short in
                    try await RawClient.connected(to: port) { long in
                        try await short.execute()
                        try await started[0].wait()
                        try await long.execute()
                        try await started[1].wait()
                        await shutDown()
                        try await idle.expectEnd()
                        finish.open()
                        #expect(try await short.readToEnd().contains(#""event":"exit","exitCode":0"#))
                        let text = try await long.readToEnd()
                        #expect(
                            text.contains(#"{"event":"error","code":"shutting_down""#) && text.hasSuffix("0\r\n\r\n"))
                    }
                }
            }
        }
    }

    @Test func fiveHundredRunsAreOpenAtOnce() async throws {
        let everybody = Latch()
        let open = Mutex(0)
        let operations = GatewayOperations.running { send in
            try await send(.started(ExecutionID()))
            let number = open.withLock {
                $0 += 1
                return $0
            }
            if number == 500 { everybody.open() }
            try await everybody.wait()
            try await send(.output(.stdout, Array("run \(number)\n".utf8)))
            try await send(.exit(.exited(0)))
        }
        try await withGateway(operations) { port, _ in
            let answers = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<500 {
                    group.addTask {
                        var text = ""
                        try await RawClient.connected(to: port) { client in
                            try await client.execute(["Accept: text/plain", "Connection: close"])
                            try await client.read(until: "\r\n\r\n")
                            text = unchunked(try await client.readToEnd()).data
                        }
                        return text
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(answers == Set((1...500).map { "run \($0)\n" }))
        }
    }
}
