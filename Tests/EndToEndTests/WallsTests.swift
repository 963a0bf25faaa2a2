import Client
import EventLoop
import Foundation
import TestSupport
import Testing

/// Every attack of `sandbox/attacks`, by `martlet doctor --attack`, which looks from outside at what is left after each.
@Suite(.timeLimit(.minutes(10))) enum WallsTests {
    static let directory =
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .path + "/sandbox/attacks"

    /// What is asked of a provider; only some by `MARTLET_ATTACKS`, names and classes with commas between.
    static func attack(_ martlet: LiveMartlet) async throws {
        let names = ProcessInfo.processInfo.environment["MARTLET_ATTACKS"]?.split(separator: ",").map(String.init) ?? []
        let before = martlet.leftovers().count
        let output = try await martlet.run(
            ["doctor", "--attack", "--json", "--data-dir", martlet.dataDirectory] + names.flatMap { ["--only", $0] },
            deadline: .seconds(500))
        let verdicts = output.text.split(separator: "\n").compactMap {
            try? JSONDecoder().decode(Verdict.self, from: Data($0.utf8))
        }
        for verdict in verdicts where !verdict.faults.isEmpty {
            Issue.record("\(verdict.group)/\(verdict.name), \(verdict.mode): \(verdict.faults.joined(separator: "; "))")
        }
        let attacks = try Attack.all(in: directory)
        let expected = names.isEmpty ? attacks : attacks.filter { names.contains($0.name) || names.contains($0.group) }
        #expect(verdicts.count == expected.reduce(0) { $0 + $1.modes.count }, "\(output.errorText)")
        #expect(output.ending == .exited(0), "\(output.errorText)")
        try await eventually(
            within: .seconds(30), describing: "the end of the attacked VM", read: { martlet.leftovers().count },
            until: { $0 <= before })
        print("\(verdicts.count) attacks, \(verdicts.reduce(0) { $0 + $1.milliseconds } / 1_000) s")
    }

    private struct Verdict: Decodable {
        let name: String
        let group: String
        let mode: String
        let faults: [String]
        let milliseconds: Int
    }

    @Suite(SharedMartlet()) struct Local {
        @Test func theWallsStand() async throws { try await attack(try shared()) }
    }
}
