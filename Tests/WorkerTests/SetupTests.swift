import Execution
import Fleet
import Foundation
import TestSupport
import Testing

@testable import Worker

extension Live {
    @Suite struct SetupTests {
        func outcome(exitCode: Int) -> InitializationOutcome {
            InitializationOutcome(
                step: .script, reason: .exited, exitCode: exitCode, signal: nil, output: "said", durationMs: 12)
        }

        /// A started environment with an init script, and what the handler hands over of it.
        func started(_ bench: Bench) async throws -> Environment {
            var request = EnvironmentRequest(name: "set up", provider: "local")
            request.initScript = "true"
            let made = try await bench.fleet.environments.create(
                request, for: try await bench.caller(), requestID: nil)
            try await bench.run(made)
            return try await bench.now(made)
        }

        func runner(
            _ bench: Bench, _ initialize: @escaping SetupRunner.Initialize
        ) -> SetupRunner {
            SetupRunner(fleet: bench.fleet, worker: "w", logger: quiet, initialize: initialize)
        }

        @Test(arguments: [0, 3]) func itIsDoneOnceWellOrBadly(exitCode: Int) async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                #expect(environment.needsInitialization)
                let setups = runner(bench) { _ in outcome(exitCode: exitCode) }
                setups.enqueue(environment)
                try await beside({ await setups.run() }) {
                    try await eventually(describing: "set up") {
                        try await !bench.now(environment).needsInitialization
                    }
                    try await eventually(describing: "audit line") {
                        try await bench.fleet.audit.list(environment: environment.id).contains { $0.action == "setup" }
                    }
                }
                #expect(try await bench.now(environment).state == .running, "its failure is not the VM's")
                let line = try await bench.fleet.audit.list(environment: environment.id).first { $0.action == "setup" }
                #expect(line?.errorCode == (exitCode == 0 ? nil : "setup_failed"))
                let log = try await bench.fleet.provisionLog.recent(environment.userID)
                #expect(
                    log.contains { $0.level == (exitCode == 0 ? .success : .error) && $0.message.contains("set up") }
                        || log.contains { $0.message.contains("exit code 3") })
            }
        }

        @Test func whatIsCutOffIsStillDue() async throws {
            try await withBench { bench in
                let environment = try await started(bench)
                let (begun, begin) = AsyncStream.makeStream(of: Void.self)
                let setups = runner(bench) { _ in
                    begin.yield()
                    try await Task.sleep(for: .seconds(600))
                    return outcome(exitCode: 0)
                }
                setups.enqueue(environment)
                try await beside({ await setups.run() }) {
                    for await _ in begun { break }
                }
                #expect(try await bench.now(environment).needsInitialization)
            }
        }
    }
}
