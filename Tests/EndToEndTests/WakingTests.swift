import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// A VM that sleeps is woken by whoever calls, once, and nobody is forgotten.
@Suite struct WakingTests {
    static func vm(_ martlet: LiveMartlet) async throws -> [String: Any] {
        let answer = try await martlet.send("GET", "/v1/vm")
        let object = try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any]
        return try #require(object?["vm"] as? [String: Any], "\(answer.text)")
    }

    static func state(_ martlet: LiveMartlet) async throws -> String {
        try #require(try await vm(martlet)["state"] as? String)
    }

    static func stop(_ martlet: LiveMartlet) async throws {
        _ = try await martlet.send("POST", "/v1/vm/stop")
        try await eventually(
            within: .seconds(30), describing: "the VM stopped", read: { try await state(martlet) },
            until: { $0 == "stopped" })
    }

    /// How many start jobs the queue has ever seen, by its own event stream.
    static func startJobs(_ martlet: LiveMartlet) async throws -> Int {
        let socket = try #require(
            try FileManager.default.subpathsOfDirectory(atPath: martlet.dataDirectory)
                .first { $0.hasSuffix("redis.sock") })
        let command = ChildProcess.Command(
            "redis-cli",
            ["-s", "\(martlet.dataDirectory)/\(socket)", "XRANGE", "bull:vm-control:events", "-", "+"])
        let events = try await ChildProcess.run(command, deadline: .seconds(10), limit: 16 << 20).text
        let lines = events.split(separator: "\n", omittingEmptySubsequences: false)
        return zip(lines, lines.dropFirst(2)).count { $0 == "added" && $1.hasPrefix("start-") }
    }

    @Test func aSleepingVMAnswersWithStatusAndThenOutput() async throws {
        try await LiveMartlet.withMartlet { martlet in
            let events1 = try await martlet.execute(try body("python", "print(1)"))
            #expect(events1.stdout == "1\n")
            try await Self.stop(martlet)
            let events = try await martlet.execute(try body("python", "print(2)"))
            #expect(events.stdout == "2\n")
            let status = try #require(events.firstIndex { $0.event == "status" && $0.state == "starting" })
            let started = try #require(events.firstIndex { $0.event == "started" })
            #expect(status < started)
        }
    }

    @Test func aHundredCallersAtTwoGatewaysMakeOneStartJob() async throws {
        try await LiveMartlet.withMartlet { martlet in
            try await martlet.withGateway { other in
                _ = try await martlet.execute(try body("python", "print(1)"))
                try await Self.stop(martlet)
                let before = try await Self.startJobs(martlet)
                let own = try martlet.url
                let other = try other.url
                let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for number in 0..<100 {
                        group.addTask {
                            let events = try await martlet.execute(
                                try body("bash", "echo \(number)"), url: number.isMultiple(of: 2) ? own : other)
                            return events.stdout == "\(number)\n" && events.exit?.exitCode == 0
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                #expect(right == 100)
                #expect(try await Self.startJobs(martlet) - before == 1)
            }
        }
    }

    @Test func withoutAWorkerTheCallFailsNamingItsJobAndWithOneTheNextWorks() async throws {
        try await LiveMartlet.withMartlet(["--no-worker", "--start-timeout", "2"]) { martlet in
            try await martlet.withWorker { _ in _ = try await martlet.execute(try body("python", "print(1)")) }
            _ = try await martlet.send("POST", "/v1/vm/stop")
            try await martlet.withWorker { _ in try await Self.stop(martlet) }
            let events = try await martlet.execute(try body("python", "print(2)"))
            #expect(events.error?.code == "vm_start_timeout")
            #expect(events.error?.message?.contains("'start-") == true)
            #expect(events.error?.message?.contains("wait") == true)
            try await martlet.withWorker { _ in
                let events2 = try await martlet.execute(try body("python", "print(3)"))
                #expect(events2.stdout == "3\n")
                try await Self.stop(martlet)  // this 'up' has no worker that could at its end
            }
        }
    }

    /// Every round ends with the right output, or with an honest word that the stop took the run away; and never hangs.
    @Test func noWakeUpIsLostWhenStopAndExecuteRace() async throws {
        let rounds = Int(ProcessInfo.processInfo.environment["MARTLET_RACE_ROUNDS"] ?? "") ?? 500
        try await LiveMartlet.withMartlet { martlet in
            _ = try await martlet.execute(try body("bash", "echo up"))
            var lost = 0
            for round in 0..<rounds {
                async let stopping = martlet.send("POST", "/v1/vm/stop")
                let events = try await withDeadline(.seconds(90), "round \(round)") {
                    try await martlet.execute(try body("bash", "echo \(round)"))
                }
                _ = try await stopping
                if let error = events.error {
                    #expect(error.code == "execution_lost", "round \(round): \(error.message ?? "")")
                    lost += 1
                } else if events.exit?.reason == "cancelled" {
                    lost += 1  // the runner had time to say so
                } else {
                    #expect(
                        events.stdout == "\(round)\n", "round \(round): \(events.map(\.event)) \(events.exit as Any)")
                    #expect(events.exit?.exitCode == 0)
                }
            }
            let events3 = try await martlet.execute(try body("bash", "echo end"))
            #expect(events3.stdout == "end\n")
            print("stop/execute rounds: \(rounds), taken away after the start: \(lost)")
        }
    }
}
