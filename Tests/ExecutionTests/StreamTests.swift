import Fleet
import TestSupport
import Testing

@testable import Execution

@Suite struct RunnerFrameTests {
    static func frame(_ type: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [type] + withUnsafeBytes(of: UInt32(payload.count).littleEndian) { Array($0) } + payload
    }

    @Test(arguments: [1, 2, 3, 7, 1_000_000])
    func framesSurviveAnyCut(size: Int) throws {
        let payloads: [[UInt8]] = [[], [1], Array(0...255), [UInt8](repeating: 7, count: 70_000)]
        let bytes = payloads.flatMap { Self.frame(17, $0) } + Self.frame(19, [0])
        var decoder = RunnerFrameDecoder()
        var seen: [[UInt8]] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            decoder.append(Array(bytes[start..<min(start + size, bytes.count)]))
            while let (kind, payload) = try decoder.next() {
                if kind == .stdout { seen.append(payload) }
            }
        }
        #expect(seen == payloads)
    }

    @Test func whatIsNoFrameIsRefused() {
        for bytes in [Self.frame(99, []), [17, 0, 0, 0, 0xFF]] {
            var decoder = RunnerFrameDecoder()
            decoder.append(bytes)
            #expect(throws: RunnerProtocolError.self) { try decoder.next() }
        }
    }

    @Test func commandsAreLittleEndian() {
        #expect(RunnerFrame.encode(.stdin, [5, 6]) == [2, 2, 0, 0, 0, 5, 6])
    }
}

@Suite struct EventQueueTests {
    static let chunk = ExecutionEvent.output(.stdout, [UInt8](repeating: 0, count: 64 << 10))

    @Test func aSlowReaderHoldsTheWriterUp() async throws {
        let queue = EventQueue()
        try await queue.send(Self.chunk)  // room for one more
        let writer = Task { for _ in 0..<50 { try await queue.send(Self.chunk) } }
        var batches: [Int] = []
        var total = 0
        while total < 51, let batch = try await queue.nextBatch() {
            batches.append(batch.count)
            total += batch.count
        }
        try await writer.value
        #expect(total == 51)
        #expect(batches.allSatisfy { $0 <= 3 })  // never more than the capacity and one event
    }

    @Test func whatWasSentBeforeTheEndIsRead() async throws {
        let queue = EventQueue()
        try await queue.send(.status(.starting, message: "a"))
        queue.finish()
        #expect(try await queue.nextBatch()?.count == 1)
        #expect(try await queue.nextBatch() == nil)
    }

    @Test func aCancelledWriterIsReleased() async throws {
        let queue = EventQueue()
        let writer = Task { for _ in 0..<10 { try await queue.send(Self.chunk) } }
        writer.cancel()
        await #expect(throws: CancellationError.self) { try await writer.value }
    }

    @Test func silenceIsFilledOnlyWhenNothingWaits() async throws {
        let queue = EventQueue()
        try await queue.send(.status(.starting, message: "a"))
        _ = queue.keepAlive(after: .zero)
        #expect(try await queue.nextBatch()?.count == 1)
        _ = queue.keepAlive(after: .zero)
        let batch = try await queue.nextBatch()
        guard case .keepalive? = batch?.first else {
            Issue.record("expected a keepalive, got \(String(describing: batch))")
            return
        }
    }
}

@Suite struct RunInputTests {
    @Test func stdinWaitsForCreditAndASignalDoesNot() async throws {
        let input = RunInput()
        let writer = Task { try await input.write(Array("hello".utf8)) }
        await input.addCredit(2)
        guard case .stdin(let first)? = try await input.next() else { throw Unexpected(what: "no stdin") }
        #expect(first == Array("he".utf8))
        await input.signal(9)  // nothing left of the credit, and yet:
        guard case .signal(9)? = try await input.next() else { throw Unexpected(what: "no signal") }
        await input.close()
        await input.addCredit(100)
        guard case .stdin(let rest)? = try await input.next() else { throw Unexpected(what: "no rest") }
        #expect(rest == Array("llo".utf8))
        try await writer.value
        guard case .stdinEnd? = try await input.next() else { throw Unexpected(what: "no end") }
        await #expect(throws: ServiceError.self) { try await input.write([1]) }
    }

    @Test func aRunThatIsTriedAgainGetsItsInputOnce() async throws {
        let input = RunInput()
        await input.begin()
        let lost = Task { try await input.write(Array("hello".utf8)) }
        lost.cancel()  // as is who feeds a run whose VM went away before it gave any credit
        await #expect(throws: CancellationError.self) { try await lost.value }
        await input.begin()
        await input.addCredit(100)
        let writer = Task {
            try await input.write(Array("hello".utf8))
            await input.close()
        }
        guard case .stdin(let bytes)? = try await input.next() else { throw Unexpected(what: "no stdin") }
        #expect(bytes == Array("hello".utf8))
        guard case .stdinEnd? = try await input.next() else { throw Unexpected(what: "not the end") }
        try await writer.value
    }

    @Test func aRunThatIsTriedAgainIsToldOfTheEndAgain() async throws {
        let input = RunInput()
        for _ in 0..<2 {
            await input.begin()
            await input.close()
            guard case .stdinEnd? = try await input.next() else { throw Unexpected(what: "no end") }
        }
    }

    @Test func theEndOfTheRunReleasesWriterAndSender() async throws {
        let input = RunInput()
        let writer = Task { try await input.write([1]) }
        let sender = Task { try await input.next() }
        await input.finish()
        await #expect(throws: ServiceError.self) { try await writer.value }
        #expect(try await sender.value == nil)
    }
}

struct Unexpected: Error {
    let what: String
}
