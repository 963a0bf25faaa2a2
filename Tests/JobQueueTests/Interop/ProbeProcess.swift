import EventLoop
import Foundation
import JobQueue
import TestSupport

/// Our worker in a process of its own, to be killed.
struct ProbeProcess: Sendable {
    private let child: ChildProcess

    /// Built beside the tests.
    private static let binary: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent + "/JobQueueProbe"
    }()

    static func work(_ bull: Harness, _ arguments: String...) async throws -> ProbeProcess {
        var command = ChildProcess.Command(
            binary, ["work", "--url", LiveRedis.url, "--queue", bull.queue.name] + arguments)
        command.error = .inherited
        command.endsWithParent = .kill
        return ProbeProcess(child: try await ChildProcess.start(command))
    }

    /// As `kill -9` does, and waits until it is gone.
    func kill() async throws {
        await child.send(.kill)
        _ = try await child.wait()
    }
}
