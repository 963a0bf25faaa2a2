import Foundation
import OVHSimulator
import TestSupport
import Testing

/// A simulated OVHcloud with real machines. Where they cannot be had the tests are left out with a printed reason, and
/// fail in continuous integration.
struct SimulatedOVH: SuiteTrait, TestScoping {
    @TaskLocal static var current: OVHSimulator?

    func provideScope(
        for test: Test, testCase: Test.Case?, performing tests: @concurrent @Sendable () async throws -> Void
    ) async throws {
        let problems = OVHSimulator.problems
        guard problems.isEmpty || ProcessInfo.processInfo.environment["CI"] != nil else {
            return print("skipped: \(test.name), for OVH cannot be simulated here: \(problems)")
        }
        try #require(problems.isEmpty)
        var options = OVHSimulator.Options()
        options.sshPort = 4_624
        options.buildTime = .seconds(1)
        try await OVHSimulator.withRunning(options) { simulator in
            try await Self.$current.withValue(simulator) { try await tests() }
        }
    }
}

/// Gateway and worker, in processes of their own, before VMs that are instances of OVH.
@Suite(SimulatedOVH(), .timeLimit(.minutes(4))) struct OVHTests {
    @Test func codeRunsInAnInstanceFromNothingToItsRemoval() async throws {
        let simulator = try #require(SimulatedOVH.current)
        try await LiveMartlet.withMartlet(["--no-worker"], environment: simulator.environment) { martlet in
            try await martlet.withWorker { worker in
                // From nothing: ordered, booted, the runner brought to it.
                let code =
                    "import os, socket\nopen('kept', 'w').write('kept')\n"
                    + "print(socket.gethostname(), os.path.expanduser('~'))"
                let inHome = code.replacing("'kept', 'w'", with: "os.path.expanduser('~/kept'), 'w'")
                let first = try await martlet.execute(try body("python", inHome))
                #expect(first.exit?.exitCode == 0, "\(first.last as Any)")
                #expect(first.stdout.hasPrefix("mlt-") && first.stdout.hasSuffix(" /home/martlet\n"))
                #expect(first.contains { $0.event == "status" && $0.message?.contains("Installing") == true })
                let name = try #require(await simulator.instances().keys.first)
                #expect(first.stdout.hasPrefix(name + " "))

                let warm = try await martlet.execute(try body("bash", "id -un; exit 3"))
                #expect(warm.stdout == "martlet\n" && warm.exit?.exitCode == 3)
                #expect(!warm.contains { $0.message?.contains("Installing") == true })

                // Asleep, and woken by a call.
                try await WakingTests.stop(martlet)
                #expect(await simulator.instances() == [name: ["SHUTOFF"]])
                let woken = try await martlet.execute(try body("bash", "cat ~/kept"))
                #expect(woken.stdout == "kept", "\(woken.last as Any)")
                #expect(await simulator.instances() == [name: ["ACTIVE"]])
                #expect(await simulator.calls("POST /cloud/project/*/instance") == 1)

                // Nobody comes in as root but to install.
                let attempt = "sudo -n true || cat /etc/martlet/runner.json"
                let refused = try await martlet.execute(try body("bash", attempt))
                #expect(refused.exit?.exitCode != 0 && refused.stdout.isEmpty)

                _ = try await martlet.send("DELETE", "/v1/vm")
                try await eventually(
                    within: .seconds(30), describing: "the instance gone", read: { await simulator.instances() },
                    until: \.isEmpty)
                #expect(await simulator.sshKeyNames().isEmpty)
                for secret in [simulator.applicationSecret, simulator.consumerKey, "PRIVATE KEY"] {
                    #expect(!worker.log.contains(secret))
                }
            }
        }
    }
}
