import EventLoop
import Foundation
import TestSupport
import Testing

/// Who reaches what, in a Martlet that has an internet of its own (`Egress/egress`).
@Suite(.timeLimit(.minutes(10))) struct EgressTests {
    @Test func runsReachTheInternetWhereTheyMayAndNothingNearer() async throws {
        let script = URL(filePath: #filePath).deletingLastPathComponent().path + "/Egress/egress"
        let output = try await ChildProcess.run(
            .init("python3", [script, LiveMartlet.binary]), deadline: .seconds(500))
        #expect(output.ending.isSuccess, "\(output.text)\(output.errorText)")
        print(output.text)
    }
}
