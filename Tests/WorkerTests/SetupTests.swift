import Execution
import Fleet
import Foundation
import PostgreSQL
import Synchronization
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct SetupTests {
        func outcome(exitCode: Int = 0) -> InitializationOutcome {
            InitializationOutcome(
                step: .script, reason: .exited, exitCode: exitCode, signal: nil, output: "said", durationMs: 12)
        }

        /// A started environment with an init script.
        func started(_ bench: Bench) async throws -> Environment {
            var request = EnvironmentRequest(name: "set up", provider: "local")
            request.initScript = "true"
            let made = try await bench.fleet.environments.create(
                request, for: try await bench.caller(), requestID: nil)
            try await bench.run(made)
            return try await bench.now(made)
        }

        func runner(
            _ bench: Bench, _ name: String = "w", claim: Duration = .seconds(30),
            _ initialize: @escaping SetupRunner.Initialize
        ) -> SetupRunner {
            SetupRunner(
                fleet: bench.fleet, providers: ["local"], worker: name, interval: .milliseconds(5),
                claimDuration: claim, logger: quiet, initialize: initialize)
        }

        func lines(_ bench: Bench, _ environment: Environment) async throws -> [AuditEntry] {
            try await bench.fleet.audit.list(environment: environment.id).filter { $0.action == "setup" }
        }

        /// Never ends by itself; tells that it began.
        func endless(_ begin: AsyncStream<Void>.Continuation) -> SetupRunner.Initialize {
            { [outcome = outcome()] _ in
                begin.yield()
                try await Task.sleep(for: .seconds(600))
                return outcome
            }
        }

        @Test(arguments: [0, 3]) func itIsDoneOnceARunWellOrBadly(exitCode: Int) async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                #expect(environment.needsInitialization)
                let setups = runner(bench) { [outcome = outcome(exitCode: exitCode)] _ in outcome }
                try await beside({ await setups.run() }) {
                    try await eventually(describing: "set up") { try await !self.lines(bench, environment).isEmpty }
                }
                let now = try await bench.now(environment)
                #expect(now.state == .running, "its failure is not the VM's")
                #expect((now.initializedAt != nil) == (exitCode == 0), "what failed was not carried out")
                #expect(now.needsInitialization == (exitCode != 0), "it is done again after the next start")
                #expect(now.errorMessage?.contains("exit code 3") == (exitCode == 0 ? nil : true))
                #expect(
                    try await bench.fleet.environments.claimSetups(
                        providers: ["local"], limit: 10, for: .seconds(1)
                    ).isEmpty, "and not before")
                let lines = try await self.lines(bench, environment)
                #expect(lines.map(\.errorCode) == [exitCode == 0 ? nil : "setup_failed"])
                let log = try await bench.fleet.provisionLog.recent(environment.userID)
                #expect(
                    log.contains {
                        exitCode == 0
                            ? $0.level == .success && $0.message.contains("set up")
                            : $0.level == .error && $0.message.contains("exit code 3")
                    })
            }
        }

        @Test func ofTwoWorkersOneIsAtEach() async throws {
            try await withBench { bench in
                var environments: [Environment] = []
                for _ in 0..<12 { environments.append(try await started(bench)) }
                let counts = Mutex<[EnvironmentID: Int]>([:])
                let runners = ["w1", "w2"].map { name in
                    runner(bench, name) { [outcome = outcome()] environment in
                        counts.withLock { $0[environment.id, default: 0] += 1 }
                        return outcome
                    }
                }
                try await beside({ await runners[0].run() }) {
                    try await beside({ await runners[1].run() }) {
                        for environment in environments {
                            try await eventually(describing: "set up") {
                                try await !bench.now(environment).needsInitialization
                            }
                        }
                    }
                }
                let expected = Dictionary(uniqueKeysWithValues: environments.map { ($0.id, 1) })
                #expect(counts.withLock { $0 } == expected)
            }
        }

        /// Its worker is told to stop in the middle of it; no start follows.
        @Test func whatIsCutOffIsTakenUpByAnotherWorker() async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                let first = runner(bench, "w1", endless(begin))
                try await beside({ await first.run() }) {
                    for await _ in begun { break }
                }
                #expect(try await bench.now(environment).needsInitialization)
                let second = runner(bench, "w2") { [outcome = outcome()] _ in outcome }
                try await beside({ await second.run() }) {
                    try await eventually(within: .seconds(5), describing: "set up") {
                        try await !bench.now(environment).needsInitialization
                    }
                }
                #expect(try await lines(bench, environment).map(\.actor) == [.worker("w2")])
            }
        }

        /// Its worker was killed: nobody gave it back.
        @Test func whatADeadWorkerWasAtIsTakenUpOnceItsClaimHasRunOut() async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                let claims = try await bench.fleet.environments.claimSetups(
                    providers: ["local"], limit: 1, for: .seconds(60))
                #expect(claims.count == 1)
                let runs = Mutex(0)
                let runner = runner(bench) { [outcome = outcome()] _ in
                    runs.withLock { $0 += 1 }
                    return outcome
                }
                try await beside({ await runner.run() }) {
                    for _ in 0..<10 { runner.wake() }
                    _ = try await started(bench)  // another, which it takes at once
                    try await eventually(describing: "the other one set up") { runs.withLock { $0 } == 1 }
                    #expect(try await bench.now(environment).needsInitialization)
                    try await bench.pool.execute(
                        "UPDATE dev_environments SET setup_due_at = now() WHERE id = \(environment.id)")
                    try await eventually(describing: "set up") {
                        try await !bench.now(environment).needsInitialization
                    }
                }
                #expect(runs.withLock { $0 } == 2)
            }
        }

        /// Whoever stops the VM, or takes the setup over, ends what this worker is at.
        @Test func aClaimThatIsLostEndsTheSetup() async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                let (ended, end) = AsyncStream.makeStream(of: Void.self)
                let endless = endless(begin)
                let runner = runner(bench, claim: .milliseconds(200)) { environment in
                    defer { end.yield() }
                    return try await endless(environment)
                }
                try await beside({ await runner.run() }) {
                    for await _ in begun { break }
                    try await bench.fleet.environments.requestStop(environment.id, actor: .system("test"))
                    for await _ in ended { break }
                }
                #expect(try await lines(bench, environment).isEmpty)
                #expect(try await bench.now(environment).needsInitialization)
            }
        }

        @Test func whatCannotBeCarriedOutIsTriedAgainLater() async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                let runs = Mutex(0)
                let runner = runner(bench) { [outcome = outcome()] _ in
                    let isFirst = runs.withLock { runs in
                        runs += 1
                        return runs == 1
                    }
                    if isFirst { throw ServiceError(.vmUnreachable, "The VM does not answer.", hint: "Wait.") }
                    return outcome
                }
                try await beside({ await runner.run() }) {
                    try await eventually(describing: "its failure told") {
                        try await bench.fleet.provisionLog.recent(environment.userID)
                            .contains { $0.message.contains("The VM does not answer. It is tried again.") }
                    }
                    let rests = try await eventually(
                        describing: "put off",
                        read: {
                            try await bench.pool.query(
                                "SELECT setup_due_at > now() + interval '5 s' AND setup_claim IS NULL FROM dev_environments"
                            ).first?.decode(at: 0, as: Bool?.self)
                        }, until: { $0 == true })
                    #expect(rests == true && runs.withLock { $0 } == 1)
                    try await bench.pool.execute("UPDATE dev_environments SET setup_due_at = now()")
                    try await eventually(describing: "set up") {
                        try await !bench.now(environment).needsInitialization
                    }
                }
                #expect(runs.withLock { $0 } == 2)
            }
        }
    }
}
