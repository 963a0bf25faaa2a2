import EventLoop
import Foundation
import Testing

/// An actor that lives on a loop, as every connection does.
actor Resident {
    let loop: EventLoop
    var steps: [Int] = []
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    init(loop: EventLoop) { self.loop = loop }

    func isOnLoop() -> Bool { loop.isCurrent }
    func readiness(of descriptor: Int32) async throws -> EventLoop.Readiness {
        try await loop.readiness(of: descriptor, for: .read)
    }
    func sleep(_ duration: Duration) async throws { try await loop.sleep(for: duration) }

    /// Sets timers in the given order of delays, and tells in which order they ran.
    func orderOfTimers(_ delays: [Duration]) async throws -> [Int] {
        for (index, delay) in delays.enumerated() {
            loop.schedule(after: delay) { self.assumeIsolated { $0.steps.append(index) } }
        }
        let cancelled = loop.schedule(after: .zero) { self.assumeIsolated { $0.steps.append(-1) } }
        loop.cancel(cancelled)
        try await loop.sleep(for: (delays.max() ?? .zero) + .milliseconds(1))
        return steps
    }
}

@Suite struct EventLoopTests {
    let resident = Resident(loop: .next())

    @Test func actorsRunOnTheirLoop() async {
        #expect(await resident.isOnLoop())
        #expect(!resident.loop.isCurrent)
    }

    @Test func timersRunByDeadlineAndEqualOnesInOrder() async throws {
        let order = try await resident.orderOfTimers([.milliseconds(3), .zero, .milliseconds(1), .zero])
        #expect(order == [1, 3, 2, 0])
    }

    @Test func readinessComesWithTheBytes() async throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let (readEnd, writeEnd) = (ends[0], ends[1])
        defer {
            close(readEnd)
            close(writeEnd)
        }
        async let readiness = resident.readiness(of: readEnd)
        #expect(write(writeEnd, "x", 1) == 1)
        #expect(try await readiness == .read)
    }

    @Test func cancellationEndsAWaitAndTheDescriptorCanBeWaitedForAgain() async throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let (readEnd, writeEnd) = (ends[0], ends[1])
        defer {
            close(readEnd)
            close(writeEnd)
        }
        for _ in 0..<3 {
            let wait = Task { try await resident.readiness(of: readEnd) }
            wait.cancel()
            await #expect(throws: CancellationError.self) { try await wait.value }
        }
        #expect(write(writeEnd, "x", 1) == 1)
        #expect(try await resident.readiness(of: readEnd) == .read)
    }

    @Test func aDeadlineNamesWhatWasAwaited() async throws {
        let error = await #expect(throws: DeadlineExceeded.self) {
            try await withDeadline(.milliseconds(5), "answer") { try await resident.sleep(.seconds(60)) }
        }
        #expect(error?.description == "no answer within 0.005 seconds")
        #expect(try await withDeadline(.seconds(60), "value") { 7 } == 7)
    }
}

@Suite struct ChildProcessTests {
    @Test func outputAndEndingAreKept() async throws {
        let shell = ChildProcess.Command("sh", ["-c", "echo out; echo err >&2; exit 3"])
        let result = try await ChildProcess.run(shell, deadline: .seconds(30))
        #expect(result.ending == .exited(3))
        #expect(result.text == "out\n")
        #expect(result.errorText == "err\n")
    }

    @Test func onlyNamedDescriptorsAreInherited() async throws {
        let leaked = open("/dev/zero", O_RDONLY)  // without O_CLOEXEC, as a careless library would
        let handed = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer {
            close(leaked)
            close(handed)
        }
        var command = ChildProcess.Command("sh", ["-c", "cd /proc/self/fd; readlink [3-9]* || true"])
        command.descriptors = [handed]
        let result = try await ChildProcess.run(command, deadline: .seconds(30))
        #expect(result.text == "/dev/null\n")
    }

    @Test func aMissingProgramIsNamed() async {
        let error = await #expect(throws: SpawnError.self) {
            try await ChildProcess.start(.init("martlet-no-such-program"))
        }
        #expect(
            error?.description.contains("'martlet-no-such-program' not started: No such file") == true)
    }

    @Test func pastItsDeadlineACommandIsKilled() async {
        let clock = ContinuousClock()
        let began = clock.now
        await #expect(throws: DeadlineExceeded.self) {
            try await ChildProcess.run(.init("sleep", ["60"]), deadline: .milliseconds(50))
        }
        #expect(began.duration(to: clock.now) < .seconds(30))
    }
}
