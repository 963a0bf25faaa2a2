import EventLoop
import Foundation
import Redis
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import JobQueue

extension Live {
    @Suite struct WorkerTests {
        @Test func aThousandJobsEndExactlyOnceThroughThreeWorkers() async throws {
            try await Harness.with { bull in
                let ended = Mutex<[String: Int]>([:])
                let handler: QueueWorker.Handler = { job, context in
                    if context.isLastAttempt ? Int.random(in: 0..<10) == 0 : Int.random(in: 0..<3) == 0 {
                        if context.isLastAttempt { ended.withLock { $0[job.id, default: 0] += 1 } }
                        throw Refused()
                    }
                    ended.withLock { $0[job.id, default: 0] += 1 }
                    return "\"\(job.id)\""
                }
                try await bull.working(
                    bull.worker("a", concurrency: 10, handler: handler),
                    bull.worker("b", concurrency: 5, handler: handler),
                    bull.worker("c", handler: handler)
                ) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for part in 0..<4 {
                            group.addTask {
                                for index in 0..<250 {
                                    let options = JobOptions(
                                        attempts: 3, backoff: index % 3 == 0 ? .fixed(20) : nil,
                                        delay: index % 10 == 0 ? .milliseconds(30) : .zero,
                                        priority: index % 7 == 0 ? part + 1 : 0)
                                    try await bull.queue.add("n", data: "{}", options: options)
                                }
                            }
                        }
                        try await group.waitForAll()
                    }
                    try await eventually(
                        within: .seconds(60), describing: "1000 ends", read: { try await bull.queue.counts() },
                        until: { ($0[.completed] ?? 0) + ($0[.failed] ?? 0) == 1_000 })
                }
                let counts = try await bull.queue.counts()
                for state: JobState in [.waiting, .active, .delayed, .prioritized] { #expect(counts[state] == 0) }
                #expect(try await bull.redis.command("EXISTS", bull.key("stalled")) == 0)
                #expect(ended.withLock { $0.count == 1_000 && $0.values.allSatisfy { $0 == 1 } })
                let ends = try await bull.eventFields().filter { ["completed", "failed"].contains($0["event"]) }
                #expect(ends.count == 1_000 && Set(ends.compactMap { $0["jobId"] }).count == 1_000)
            }
        }

        @Test func anIdleWorkerStartsAJobAtOnceAndADelayedOneInTime() async throws {  // 2, 3 with our worker
            try await Harness.with { bull in
                let journal = Journal()
                let worker = bull.worker("né 1") { job, _ in
                    journal.add("\(Date().milliseconds - job.timestamp.milliseconds)")
                    return nil
                }
                try await bull.working(worker) {
                    try await eventually(describing: "the blocked worker listed") {
                        try await bull.queue.workers() == ["n--1"]
                    }
                    let plain = try await bull.queue.add("plain", data: "{}")
                    try await bull.job(plain, in: .completed)
                    let delayed = try await bull.queue.add(
                        "delayed", data: "{}", options: JobOptions(delay: .milliseconds(300)))
                    try await bull.job(delayed, in: .completed)
                    let waits = journal.all.compactMap { Int($0) }
                    #expect(waits[0] < 2_500)  // without the marker it would be found after up to 5 s
                    #expect((300..<3_000).contains(waits[1]))
                }
            }
        }

        @Test func theJobsOfAWorkerThatVanishedAreRunByAnother() async throws {
            try await Harness.with { bull in
                let id = try await bull.queue.add("x", data: "{}")
                let started = Waiter<Void>()
                try await Harness.with(name: bull.queue.name) { doomed in
                    try await doomed.working(
                        doomed.worker("doomed", lock: .milliseconds(400), stalled: .milliseconds(200)) { _, _ in
                            started.resume(with: .success(()))
                            try await ContinuousClock().sleep(for: .seconds(3_600))  // until it is cancelled
                            return nil
                        }
                    ) {
                        try await started.value()
                        await doomed.redis.close()  // nothing it says from now on is heard
                    }
                }
                #expect(try await bull.queue.state(of: id) == .active)
                let rescuer = bull.worker("rescuer", stalled: .milliseconds(200)) { job, _ in
                    "\(job.stalledCount)"
                }
                try await bull.working(rescuer) {
                    let job = try await bull.job(id, in: .completed)
                    #expect(job?.returnValue == "1" && job?.stalledCount == 1 && job?.processedBy == "rescuer")
                    #expect(job?.attemptsStarted == 2 && job?.attemptsMade == 1)
                }
            }
        }

        @Test func aLockIsRenewedWhileTheHandlerRuns() async throws {  // 15
            try await Harness.with { bull in
                let go = Waiter<Void>()
                let id = try await bull.queue.add("x", data: "{}")
                let worker = bull.worker(lock: .seconds(2), stalled: .milliseconds(100)) { _, _ in
                    try await go.value()
                    return nil
                }
                try await bull.working(worker) {
                    try await bull.job(id, in: .active)
                    let until = ContinuousClock.now + .seconds(3)  // longer than it holds
                    while ContinuousClock.now < until {
                        #expect(
                            (1...2_000).contains(
                                try await bull.redis.command("PTTL", bull.key("\(id):lock")).number ?? 0)
                        )
                    }
                    go.resume(with: .success(()))
                    let job = try await bull.job(id, in: .completed)
                    #expect(job?.stalledCount == 0 && job?.attemptsStarted == 1)
                }
            }
        }

        @Test func aLostLockCancelsTheHandlerAndItsWordIsNotHeard() async throws {
            try await Harness.with { bull in
                let (started, cancelled) = (Waiter<Void>(), Waiter<Void>())
                let id = try await bull.queue.add("x", data: "{}")
                let worker = bull.worker(lock: .milliseconds(400)) { _, _ in
                    started.resume(with: .success(()))
                    try? await ContinuousClock().sleep(for: .seconds(3_600))  // until it is cancelled
                    cancelled.resume(with: .success(()))
                    return "\"mine\""
                }
                try await bull.working(worker) {
                    try await started.value()
                    try await bull.redis.command("SET", bull.key("\(id):lock"), "another", "PX", 60_000)
                    try await withDeadline(.seconds(20), "cancellation of the handler") { try await cancelled.value() }
                    try await eventually(describing: "the lease returned") { worker.leases.all.isEmpty }
                    #expect(try await bull.queue.state(of: id) == .active)
                    #expect(try await bull.hash(id)["returnvalue"] == nil)
                }
            }
        }

        @Test func aStoppedWorkerLetsTheRunningJobEndAndTakesNoOther() async throws {
            try await Harness.with { bull in
                let (started, go) = (Waiter<Void>(), Waiter<Void>())
                let first = try await bull.queue.add("first", data: "{}")
                let second = try await bull.queue.add("second", data: "{}")
                let worker = bull.worker { _, _ in
                    started.resume(with: .success(()))
                    try await go.value()
                    return nil
                }
                let group = ServiceGroup(services: [worker], logger: bull.logger)
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await group.run() }
                    try await started.value()
                    await group.triggerGracefulShutdown()
                    try await eventually(describing: "the worker told") { worker.stop.isGiven }
                    go.resume(with: .success(()))
                    try await tasks.waitForAll()
                }
                #expect(try await bull.queue.state(of: first) == .completed)
                #expect(try await bull.queue.state(of: second) == .waiting)
                try await bull.queue.remove(second)
                let idle = ServiceGroup(services: [bull.worker("idle")], logger: bull.logger)
                try await withDeadline(.seconds(4), "end of the idle worker") {
                    try await withThrowingTaskGroup(of: Void.self) { tasks in
                        tasks.addTask { try await idle.run() }
                        try await eventually(describing: "it blocks") { try await bull.queue.workers() == ["idle"] }
                        await idle.triggerGracefulShutdown()
                        try await tasks.waitForAll()
                    }
                }
            }
        }

        @Test func aCancelledWorkerGivesItsJobBackUncounted() async throws {
            try await Harness.with { bull in
                let started = Waiter<Void>()
                let id = try await bull.queue.add("x", data: "{}")
                let worker = bull.worker { _, _ in
                    started.resume(with: .success(()))
                    try await ContinuousClock().sleep(for: .seconds(3_600))  // until it is cancelled
                    return nil
                }
                try await bull.working(worker) { try await started.value() }
                let job = try #require(try await bull.queue.job(id))
                #expect(job.state == .waiting && job.attemptsMade == 0 && job.failedReason == nil)
                #expect(try await bull.redis.command("EXISTS", bull.key("\(id):lock")) == 0)
            }
        }

        @Test func aPausedQueueStopsTheWorkerAndGoesOnWhenResumed() async throws {
            try await Harness.with { bull in
                try await bull.working(bull.worker(concurrency: 3)) {
                    try await bull.queue.pause()
                    var ids: [String] = []
                    for _ in 0..<10 { ids.append(try await bull.queue.add("x", data: "{}")) }
                    #expect(try await bull.queue.counts()[.paused] == 10)
                    try await bull.queue.resume()
                    for id in ids { try await bull.job(id, in: .completed) }
                }
            }
        }

        @Test func aRestartedServerFindsTheWorkerGoingOn() async throws {
            try await RedisServer.with { server in
                try await Harness.with(url: server.url) { bull in
                    let go = Waiter<Void>()
                    let worker = bull.worker(concurrency: 2, lock: .seconds(20)) { job, _ in
                        if job.name == "long" { try await go.value() }
                        return "\"\(job.name)\""
                    }
                    try await bull.working(worker) {
                        let long = try await bull.queue.add("long", data: "{}")
                        try await bull.job(long, in: .active)
                        for round in 0..<3 {
                            try await server.stop()
                            try await server.start()
                            let id = try await bull.queue.add("after \(round)", data: "{}")
                            try await bull.job(id, in: .completed)
                        }
                        try await server.stop()
                        go.resume(with: .success(()))  // its end is told once the server is back
                        try await server.start()
                        let job = try await bull.job(long, in: .completed)
                        #expect(job?.attemptsStarted == 1 && job?.stalledCount == 0)
                    }
                }
            }
        }
    }
}
