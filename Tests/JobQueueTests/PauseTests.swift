import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    @Suite struct PauseTests {
        @Test func aPausedQueueKeepsItsJobsInOrderAndWakesNobody() async throws {  // 20, our side
            try await Harness.with { bull in
                try await bull.queue.add("a", data: "{}")
                try await bull.queue.pause()
                #expect(try await bull.queue.isPaused())
                try await bull.queue.add("b", data: "{}")
                try await bull.queue.add("p", data: "{}", options: JobOptions(priority: 1))
                #expect(try await bull.list("paused") == ["2", "1"])
                #expect(try await bull.redis.command("EXISTS", bull.key("wait"), bull.key("marker")) == 0)
                #expect(try await bull.queue.state(of: "2") == .waiting)
                #expect(try await bull.take(bull.worker(), token: "t") == nil)
                try await bull.queue.resume()
                #expect(try await bull.list("wait") == ["2", "1"])
                #expect(try await bull.redis.command("EXISTS", bull.key("paused")) == 0)
                #expect(try await bull.scores("marker") == ["0": 0])
                #expect(try await bull.events().suffix(1) == ["resumed"])
            }
        }

        @Test func onlyPrioritizedJobsStillSetTheMarkerAndOnlyDelayedTheirTime() async throws {
            try await Harness.with { bull in
                bull.clock.now = 1_700_000_000_000
                try await bull.queue.add("d", data: "{}", options: JobOptions(delay: .seconds(1)))
                try await bull.queue.pause()
                try await bull.queue.resume()
                #expect(try await bull.scores("marker") == ["1": 1_700_000_001_000])
                try await bull.queue.add("p", data: "{}", options: JobOptions(priority: 1))
                try await bull.queue.pause()
                try await bull.queue.resume()
                #expect(try await bull.scores("marker") == ["0": 0])
            }
        }

        /// A client of the next major version adds to `wait` although the queue is paused (section 9 #1, #2).
        @Test(arguments: [true, false])
        func noJobIsLostWhenBothListsExist(pausedIsOlder: Bool) async throws {  // 21, our side
            try await Harness.with { bull in
                for index in 0..<4 {
                    bull.clock.now = 1_700_000_000_000 + index
                    try await bull.queue.add("\(index)", data: "{}")
                }
                try await bull.queue.pause()
                // ids 1 and 2 are the older: they are left in `paused`, or in `wait`
                for _ in 0..<2 {
                    try await bull.redis.command(
                        "LMOVE", bull.key("paused"), bull.key("wait"), pausedIsOlder ? "LEFT" : "RIGHT",
                        pausedIsOlder ? "RIGHT" : "LEFT")
                }
                try await bull.queue.pause()
                #expect(try await bull.list("paused") == ["4", "3", "2", "1"])
                try await bull.redis.command("LMOVE", bull.key("paused"), bull.key("wait"), "LEFT", "RIGHT")
                try await bull.queue.resume()
                #expect(try await bull.list("wait") == ["4", "3", "2", "1"])
            }
        }
    }
}
