import Foundation
import Redis
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    /// What a worker does by its own rules, and what it leaves to others.
    @Suite struct WorkerRuleTests {
        @Test func aHandlerMayPutAJobOffWithoutSpendingAnAttempt() async throws {
            try await Harness.with { bull in
                let id = try await bull.queue.add("x", data: "{}", options: JobOptions(attempts: 1))
                let worker = bull.worker { job, _ in
                    if job.attemptsStarted < 3 { throw DelayedJob(for: .milliseconds(150)) }
                    return "\(job.attemptsMade)"
                }
                try await bull.working(worker) {
                    let job = try #require(try await bull.job(id, in: .completed))
                    #expect(job.attemptsStarted == 3 && job.attemptsMade == 1 && job.returnValue == "0")
                    #expect(job.failedReason == nil && job.stacktrace.isEmpty)
                }
                let told = try await bull.eventFields().filter { $0["event"] == "delayed" }
                #expect(told.count == 2)
                #expect(try await bull.events(of: id).contains("failed") == false)
            }
        }

        @Test func theWorkersRulesHoldWhereTheJobDoesNotSay() async throws {
            try await Harness.with { bull in
                var options = QueueWorker.Options()
                options.removeOnComplete = .removeAll
                options.removeOnFail = .keepLast(1)
                let worker = QueueWorker(
                    queue: bull.queue, name: "w", concurrency: 1, options: options, logger: bull.logger
                ) { job, _ in
                    if job.name == "bad" { throw Refused() }
                    return nil
                }
                let ids = try await bull.queue.add([
                    NewJob("gone", data: "{}"), NewJob("bad", data: "{}"), NewJob("bad", data: "{}"),
                    NewJob("kept", data: "{}", options: JobOptions(removeOnComplete: .keepAll)),
                ])
                try await bull.working(worker) { try await bull.job(ids[3], in: .completed) }
                #expect(try await bull.scores("completed").keys.sorted() == [ids[3]])
                #expect(try await bull.scores("failed").keys.sorted() == [ids[2]])
                #expect(try await bull.redis.command("EXISTS", bull.key(ids[0]), bull.key(ids[1])) == 0)
            }
        }

        @Test func aJobOfAFlowIsLeftToWorkersThatKnowFlows() async throws {
            try await Harness.with { bull in
                let id = "child"
                let worker = bull.worker { _, _ in "\"ran\"" }
                try await bull.working(worker) {
                    try await eventually(describing: "the worker attached") {
                        try await bull.queue.workers() == ["w"]
                    }
                    try await bull.redis.command(
                        "HSET", bull.key(id), "name", "child", "data", "{}", "opts", "{}", "parentKey", "bull:other:1")
                    try await bull.redis.command("LPUSH", bull.key("wait"), "\(id)")
                    try await bull.redis.command("ZADD", bull.key("marker"), 0, "0")
                    let job = try await bull.job(id, in: .delayed)
                    #expect(job?.attemptsMade == 0 && job?.returnValue == nil)
                }
                let refused = await #expect(throws: JobQueueError.self) { try await bull.worker().run() }
                #expect(refused?.code == .unsupportedQueue && refused?.message.contains("flows") == true)
                let kept = await #expect(throws: JobQueueError.self) { try await bull.queue.remove(id) }
                #expect(kept?.code == .unsupportedQueue)
            }
        }

        /// Schedulers that come while a worker runs must not end it: the queue's own jobs go on once they are gone.
        @Test func aQueueThatGetsSchedulersIsLeftAloneAsLongAsItHasThem() async throws {
            try await Harness.with { bull in
                var options = QueueWorker.Options()
                options.drainDelay = .milliseconds(200)
                let worker = QueueWorker(
                    queue: bull.queue, name: "w", concurrency: 1, options: options, logger: bull.logger
                ) { _, _ in nil }
                try await bull.working(worker) {
                    try await bull.job(try await bull.queue.add("before", data: "{}"), in: .completed)
                    let id = try await bull.queue.add("during", data: "{}", options: JobOptions(delay: .seconds(60)))
                    try await bull.redis.command("ZADD", bull.key("repeat"), 1, "nightly")
                    try await bull.queue.promote(id)
                    try await eventually(describing: "the worker asked") {
                        try await bull.redis.command("EXISTS", bull.key("marker")) == 0
                    }
                    #expect(try await bull.queue.state(of: id) == .waiting)
                    try await bull.redis.command("DEL", bull.key("repeat"))
                    try await bull.job(id, in: .completed)
                }
            }
        }
    }
}
