import Client
import EventLoop
import Foundation
import TestSupport
import Testing

/// Every attack of `sandbox/attacks`, by `martlet doctor --attack`, which looks from outside at what is left after each.
@Suite(.timeLimit(.minutes(30))) enum WallsTests {
    static let directory =
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .path + "/sandbox/attacks"

    /// What is asked of a provider; only some by `MARTLET_ATTACKS`, names and classes with commas between.
    static func attack(_ martlet: LiveMartlet, only classes: [String] = []) async throws {
        let asked = ProcessInfo.processInfo.environment["MARTLET_ATTACKS"]?.split(separator: ",").map(String.init) ?? []
        let names = asked.isEmpty ? classes : asked
        let first = try await martlet.run(["run", "--language", "bash", "--no-stdin", "--", "/dev/null"])
        #expect(first.ending == .exited(0), "\(first.errorText)")  // so the VM that is there anyway is up
        let before = martlet.leftovers().count
        let output = try await martlet.run(
            ["doctor", "--attack", "--json", "--data-dir", martlet.dataDirectory] + names.flatMap { ["--only", $0] },
            deadline: .seconds(1_500))  // that of each run is the driver's
        let verdicts = output.text.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Verdict.self, from: Data($0.utf8))
        }
        for verdict in verdicts where !verdict.faults.isEmpty {
            Issue.record("\(verdict.group)/\(verdict.name), \(verdict.mode): \(verdict.faults.joined(separator: "; "))")
        }
        for verdict in verdicts where verdict.expected == "nothing" {
            print("left out: \(verdict.group)/\(verdict.name), \(verdict.mode): \(verdict.seen)")
        }
        let attacks = try Attack.all(in: directory)
        let expected = names.isEmpty ? attacks : attacks.filter { names.contains($0.name) || names.contains($0.group) }
        #expect(verdicts.count == expected.reduce(0) { $0 + $1.modes.count }, "\(output.errorText)")
        #expect(output.ending == .exited(0), "\(output.errorText)")
        try await eventually(
            within: .seconds(30), describing: "the end of the attacked VM", read: { martlet.leftovers() },
            until: { $0.count <= before })
        let slowest = verdicts.sorted { $0.milliseconds > $1.milliseconds }.prefix(3)
            .map { "\($0.group)/\($0.name), \($0.mode): \($0.milliseconds) ms" }
        print(
            "\(verdicts.count) attacks, \(verdicts.count { $0.faults.isEmpty }) failed as they should, "
                + "\(verdicts.reduce(0) { $0 + $1.milliseconds } / 1_000) s; slowest \(slowest.joined(separator: "; "))"
        )
    }

    private struct Verdict: Decodable {
        let name: String
        let group: String
        let mode: String
        let expected: String
        let seen: String
        let faults: [String]
        let milliseconds: Int
    }

    @Suite(SharedMartlet()) struct Local {
        @Test func theWallsStand() async throws { try await attack(try shared()) }
    }

    @Suite(LiveDocker(), .serialized) struct Docker {
        private var environment: [String: String] {
            ["VM_PROVIDER": "docker", "DOCKER_HOST": LiveDocker.engine.host]
        }

        /// All classes take a minute and a half where two cores are free and ten where they are not: those are for `make walls`.
        @Test func theWallsStand() async throws {
            let isWhole = ProcessInfo.processInfo.environment["MARTLET_ATTACKS"] != nil
            let classes = ["namespaces", "privileges", "secrets", "code"]
            if !isWhole { print("WALLS OF DOCKER: only \(classes.joined(separator: ", ")); 'make walls' attacks all") }
            try await LiveMartlet.withMartlet(environment: environment) {
                try await attack($0, only: isWhole ? [] : classes)
            }
        }

        @Test func theyStandWhereSomebodyListensBehindThem() async throws {
            try await StandIns.withNetwork { network in
                try await LiveDocker.restart(behind: network.wrapper)
                try await LiveMartlet.withMartlet(environment: environment, wrapper: network.wrapper) {
                    try await attack($0, only: ["network"])
                }
                try await LiveDocker.restart(behind: [])
            }
        }
    }

    @Suite struct LocalAmongListeners {
        @Test(.enabled(if: getuid() == 0, "network namespaces need root"))
        func theWallsStand() async throws {
            try await StandIns.withNetwork { network in
                try await LiveMartlet.withMartlet(wrapper: network.wrapper) { try await attack($0, only: ["network"]) }
            }
        }
    }
}
