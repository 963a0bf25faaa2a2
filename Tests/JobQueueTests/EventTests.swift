import EventLoop
import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// What listeners are told, and what workers count.
    @Suite(.timeLimit(.minutes(1))) struct EventTests {
        @Test func aListenerHearsAllFromItsStartOnInOrder() async throws {
            try await Harness.with { bull in
                try await bull.queue.add("before", data: "{}")
                let started = Waiter<Void>()
                async let heard = bull.queue.withEvents { events in
                    started.resume(with: .success(()))
                    var names: [String] = []
                    for try await event in events where event.jobID == "2" {
                        names.append(event.name.rawValue)
                        if event.name == .completed {
                            #expect(event.fields["returnvalue"] == "7")
                            break
                        }
                    }
                    return names
                }
                try await started.value()
                try await bull.queue.add("x", data: "{}", options: JobOptions(attempts: 2))
                let worker = bull.worker { job, context in
                    try await context.updateProgress("1")
                    if job.attemptsStarted == 1, job.id == "2" { throw Refused() }
                    return "7"
                }
                try await bull.working(worker) { try await bull.job("2", in: .completed) }
                let names = try await heard
                #expect(
                    names == [
                        "added", "waiting", "active", "progress", "waiting", "active", "progress", "completed",
                    ])
            }
        }

        @Test func aListenerGoesOnWhereItStoppedAndAfterAnOutage() async throws {
            try await RedisServer.with { server in
                try await Harness.with(url: server.url) { bull in
                    try await bull.queue.add((0..<250).map { _ in NewJob("x", data: "{}") })
                    let place = try await bull.queue.withEvents(after: "0-0") { events in
                        var (count, last) = (0, "")
                        for try await event in events where event.name == .added {
                            (count, last) = (count + 1, event.id)
                            if count == 120 { break }
                        }
                        return last
                    }
                    let rest = Journal()
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            try await bull.queue.withEvents(after: place) { events in
                                for try await event in events where event.name == .added {
                                    rest.add(event.jobID ?? "")
                                    if event.jobID == "251" { break }
                                }
                            }
                        }
                        try await eventually(describing: "the old ones read") { rest.all.count == 130 }
                        try await server.stop()
                        try await server.start()
                        try await bull.queue.add("after", data: "{}")
                        try await eventually(within: .seconds(20), describing: "the event after the outage") {
                            rest.all.last == "251"
                        }
                        try await group.waitForAll()
                    }
                    #expect(rest.all == (121...251).map(String.init))
                }
            }
        }

        @Test func metricsCountTheEndsOfEachMinute() async throws {
            try await Harness.with { bull in
                var options = QueueWorker.Options()
                options.metricsMinutes = 4
                let worker = QueueWorker(
                    queue: bull.queue, name: "w", concurrency: 1, options: options, logger: bull.logger
                ) { _, _ in nil }
                func end(_ outcome: AttemptOutcome, after minutes: Int) async throws {
                    bull.clock.now += minutes * 60_000
                    try await bull.queue.add("x", data: "{}")
                    let job = try #require(try await bull.take(worker, token: "t"))
                    _ = try await worker.finishAlone(outcome, of: job)
                }
                bull.clock.now = 1_700_000_000_000
                // The sheet's example (4.13): two in the first minute, one in the next, one three minutes later.
                for minutes in [0, 0, 1] { try await end(.completed(returnValue: "1"), after: minutes) }
                #expect(try await bull.queue.metrics(of: .completed).perMinute == [2])
                try await end(.completed(returnValue: "1"), after: 3)
                let metrics = try await bull.queue.metrics(of: .completed)
                #expect(metrics.count == 4 && metrics.perMinute == [0, 0, 1, 2])
                try await end(.completed(returnValue: "1"), after: 1_000)
                #expect(try await bull.queue.metrics(of: .completed).perMinute == [0, 0, 0, 1])
                try await end(.failed(reason: "r"), after: 0)
                #expect(try await bull.queue.metrics(of: .failed).count == 1)
            }
        }
    }
}

extension QueueWorker {
    /// Tells how a job ended, as a worker does that is to take no other.
    func finishAlone(_ outcome: AttemptOutcome, of job: Job, token: String = "t") async throws -> Job? {
        stop.give()
        return try await send(outcome, of: job, token: token)
    }
}
