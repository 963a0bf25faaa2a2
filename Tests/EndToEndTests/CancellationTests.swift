import EventLoop
import Foundation
import HTTPTransport
import TestSupport
import Testing

/// Whoever goes away takes his processes with him, within a second.
@Suite(SharedMartlet()) struct CancellationTests {
    /// Prints once it runs, then lives on in two processes that carry the mark.
    static func lasting(_ mark: String) throws -> String {
        try body(
            "bash", "bash -c 'exec -a \(mark) sleep 1000' & echo up; exec -a \(mark) sleep 1000",
            [
                "timeoutMs": 60_000
            ])
    }

    @Test func aClosedConnectionKills() async throws {
        let mark = marker()
        let id = try await shared().withEvents(try Self.lasting(mark)) { events in
            let id = try await Self.untilUp(events)
            try await eventually(describing: "the program runs") { Self.runs(mark) }
            return id
        }
        try await Self.gone(mark)
        try await Self.recorded(id, "cancelled")
    }

    @Test func deleteKillsAndTheStreamSaysSo() async throws {
        let martlet = try shared()
        let mark = marker()
        let (id, last) = try await martlet.withEvents(try Self.lasting(mark)) { events in
            let id = try await Self.untilUp(events)
            let answer = try await martlet.send("DELETE", "/v1/executions/\(id)")
            #expect((200..<300).contains(answer.status))
            var last: MartletEvent?
            for try await event in events { last = event }
            return (id, last)
        }
        try await Self.gone(mark)
        #expect(last?.event == "exit")
        #expect(last?.reason == "cancelled")
        #expect(last?.exitCode == nil)
        try await Self.recorded(id, "cancelled")
    }

    @Test func deleteReachesARunOfAnotherGateway() async throws {
        let martlet = try shared()
        let mark = marker()
        try await martlet.withGateway { other in
            try await martlet.withEvents(try Self.lasting(mark), url: try other.url) { events in
                let id = try await Self.untilUp(events)
                _ = try await martlet.send("DELETE", "/v1/executions/\(id)")
                var last: MartletEvent?
                for try await event in events { last = event }
                #expect(last?.reason == "cancelled")
            }
        }
        try await Self.gone(mark)
    }

    @Test func interruptingTheCommandKills() async throws {
        let martlet = try shared()
        let mark = marker()
        let path = try martlet.file("\(mark).sh", "echo up; exec -a \(mark) sleep 1000")
        let child = try await ChildProcess.start(martlet.command(["run", "-l", "bash", path]))
        try await eventually(describing: "the program runs") { Self.runs(mark) }
        await child.send(.interrupt)
        let ending = try await withDeadline(.seconds(10), "end of the command") { try await child.wait() }
        #expect(ending == .exited(130))
        try await Self.gone(mark)
    }

    /// As Vim sends them, to the process and to its group: the second must not end it before it has told the end.
    @Test func signalsThatComeTogetherAreOneRequest() async throws {
        let martlet = try shared()
        for _ in 0..<5 {
            let mark = marker()
            let path = try martlet.file("\(mark).sh", "echo up; exec -a \(mark) sleep 1000")
            let output = "\(martlet.directory)/\(mark).jsonl"
            var command = martlet.command(["run", "--json", "-l", "bash", "--no-stdin", path])
            command.output = .appending(path: output)
            let child = try await ChildProcess.start(command)
            try await eventually(describing: "the program's output") {
                try String(contentsOfFile: output, encoding: .utf8).contains("up")
            }
            await child.send(.interrupt)
            let status = "/proc/\(child.processIdentifier)/status"
            try await eventually(describing: "the signal is taken") {
                let text = (try? String(contentsOfFile: status, encoding: .utf8)) ?? ""
                return !text.contains("ShdPnd:\t") || text.contains("ShdPnd:\t0000000000000000")
            }
            await child.send(.interrupt)
            let ending = try await withDeadline(.seconds(10), "end of the command") { try await child.wait() }
            #expect(ending == .exited(130))
            let events = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
            #expect(events.last?.contains(#""reason":"cancelled""#) == true, "\(events)")
            try await Self.gone(mark)
        }
    }

    /// Whether a process lives that calls itself so: not the command that asked for it, whose file is called so too.
    private static func runs(_ mark: String) -> Bool {
        processes(marked: mark).contains { process in
            let name = (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) ?? ""
            return name == "sleep\n"
        }
    }

    /// Reads on until the program has printed, and returns the execution's id.
    private static func untilUp(_ events: MartletEvents) async throws -> String {
        var id = ""
        for try await event in events {
            if let started = event.executionId { id = started }
            if event.data == "up\n" { return id }
        }
        throw NeverHappened(awaited: "output", limit: .zero, lastSeen: "the end of the stream")
    }

    private static func gone(_ mark: String) async throws {
        try await eventually(within: .seconds(1), describing: "processes gone", read: { runs(mark) }, until: { !$0 })
    }

    private static func recorded(_ id: String, _ state: String) async throws {
        try await eventually(
            describing: "the history says \(state)",
            read: { try await shared().send("GET", "/v1/executions/\(id)").text },
            until: { $0.contains("\"state\":\"\(state)\"") || $0.contains("\"state\": \"\(state)\"") })
    }
}
