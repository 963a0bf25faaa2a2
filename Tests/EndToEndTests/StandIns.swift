import EventLoop
import Foundation
import TestSupport
import Testing

/// A network in which somebody listens at every address and port that the attacks of class `network` try, so that "not
/// reached" is a wall's doing. A whole Martlet lives in it, and for provider `docker` the engine: to whoever broke out of
/// a VM all of them would answer.
struct StandIns: Sendable {
    /// Before a command, to have it live there.
    let wrapper: [String]
    private let guests: String  // the file in which whoever comes is noted

    private static let script =
        URL(filePath: #filePath).deletingLastPathComponent().path + "/Network/stand-ins.py"

    static func withNetwork(_ body: (StandIns) async throws -> Void) async throws {
        try await withTemporaryDirectory { directory in
            let guests = "\(directory)/guests"
            var command = ChildProcess.Command("unshare", ["--net", "python3", script, "serve", guests])
            command.output = .appending(path: "\(directory)/log")
            command.error = command.output
            command.endsWithParent = .kill
            let host = try await ChildProcess.start(command)
            let network = StandIns(
                wrapper: ["nsenter", "--net=/proc/\(host.processIdentifier)/ns/net", "--"], guests: guests)
            do {
                try await eventually(
                    within: .seconds(30), describing: "the stand-ins",
                    read: { (try? String(contentsOfFile: "\(directory)/log", encoding: .utf8)) ?? "" },
                    until: { _ in network.lines.first == "ready" })
                try await network.expectAnswers()
                try await body(network)
                try await network.expectAnswers()  // they were there all the time
                #expect(network.lines.dropFirst().isEmpty, "somebody came: \(network.lines)")
            } catch {
                await host.send(.kill)
                throw error
            }
            await host.send(.kill)
            _ = try await host.wait()
        }
    }

    private var lines: [Substring] {
        ((try? String(contentsOfFile: guests, encoding: .utf8)) ?? "").split(separator: "\n")
    }

    /// From outside of VMs every one of them is reached.
    private func expectAnswers() async throws {
        let words = wrapper + ["python3", Self.script, "probe"]
        let result = try await ChildProcess.run(.init(words[0], Array(words.dropFirst())), deadline: .seconds(60))
        #expect(result.ending.isSuccess && result.text.isEmpty, "\(result.text)\(result.errorText)")
    }
}
