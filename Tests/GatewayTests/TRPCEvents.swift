import EventLoop
import Execution
import Fleet
import Foundation
import NIOCore
import Testing

@testable import Gateway

/// What an EventSource makes of a stream (HTML Standard, "server-sent events", 9.2.6).
struct StreamEvent: Equatable {
    var name = "message"
    var data: String?
    var lastID = ""

    /// The events of a stream that an EventSource opened with `lastID`, the empty ones left out.
    static func all(in text: String, lastID: String = "") -> [StreamEvent] {
        var lastID = lastID
        return text.split(separator: "\n\n", omittingEmptySubsequences: true).compactMap { block in
            var event = StreamEvent()
            for line in block.split(separator: "\n") {
                let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                let value = parts.count < 2 ? "" : String(parts[1].first == " " ? parts[1].dropFirst() : parts[1])
                switch parts[0] {
                case "event": event.name = value
                case "data": event.data = (event.data.map { $0 + "\n" } ?? "") + value
                case "id": lastID = value
                default: break
                }
            }
            event.lastID = lastID
            return event.data == nil ? nil : event
        }
    }

    var json: [String: Any]? {
        data.flatMap { try? JSONSerialization.jsonObject(with: Data($0.utf8)) } as? [String: Any]
    }
    /// What a `serialized-error` says.
    var error: TRPCErrorShape? { name == "serialized-error" ? TRPCErrorShape(json) : nil }
    /// The text that a value carries.
    var printed: String { name == "message" ? json?["data"] as? String ?? "" : "" }
}

/// The run that the operations of these tests make.
let subscribedRun = "4bf83d8a-0000-4000-8000-000000000000"

func subscription(_ input: String) -> String { "vm.executeCodeStream?input=" + escaped(input) }

let eventsHeader = ["accept: text/event-stream", "cache-control: no-cache"]

extension GatewayOperations {
    /// A program that prints `é1` in two pieces and `2`, and ends with 0.
    static let printing = running { send in
        try await send(.output(.stdout, Array("é".utf8.prefix(1))))
        try await send(.output(.stdout, Array("é".utf8.dropFirst()) + Array("1\n".utf8)))
        try await send(.output(.stderr, Array("2\n".utf8)))
        try await send(.exit(.exited(0)))
    }

    /// A program that prints `out` and `err` and ends so, after `before` between the two.
    static func ending(_ report: ExitReport, before: @escaping @Sendable () async throws -> Void = {})
        -> GatewayOperations
    {
        .running { send in
            try await send(.status(.connecting, message: "…"))
            try await send(.started(ExecutionID(subscribedRun)!))
            try await send(.output(.stdout, Array("out\n".utf8)))
            try await before()
            try await send(.output(.stderr, [0x65, 0xFF, 0x0A]))
            try await send(.exit(report))
        }
    }
}

extension ExitReport {
    static func stopped(_ reason: ExitReport.Reason, signal: String? = "SIGKILL") -> ExitReport {
        ExitReport(
            exitCode: nil, signal: signal, reason: reason, stage: .run, durationMs: 500, cpuMs: 1, maxRssBytes: 1,
            truncated: false)
    }
}

extension ExecutionView {
    static func ended(
        _ id: ExecutionID, state: ExecutionState, exitCode: Int?, stdout: [UInt8], stderr: [UInt8],
        stdoutBytes: Int? = nil
    ) -> ExecutionView {
        ExecutionView(
            id: id, environmentId: EnvironmentID(), requestId: nil, state: state.rawValue, language: "bash",
            codeBytes: 1, exitCode: exitCode, signal: nil, durationMs: 1, cpuMs: 1, maxRssBytes: 1, truncated: false,
            stdoutBytes: stdoutBytes ?? stdout.count, stderrBytes: stderr.count, errorCode: nil, errorMessage: nil,
            startedAt: .now, finishedAt: .now, stdout: TextOrBytes(bytes: stdout), stderr: TextOrBytes(bytes: stderr))
    }
}

/// Whoever closes the connection ends the run within a second, though the program prints nothing, for ever.
func expectLeavingEndsTheRun(
    sourceLocation: SourceLocation = #_sourceLocation, opening: (RawClient) async throws -> Void
) async throws {
    let started = Latch()
    let ended = Latch()
    let operations = GatewayOperations.running { send in
        defer { ended.open() }
        try await send(.started(ExecutionID()))
        started.open()
        try await Latch().wait()
    }
    try await withTRPC(operations) { client in
        try await opening(client)
        try await started.wait()
        let left = ContinuousClock.now
        try await client.channel.close()
        try await withDeadline(.seconds(5), "end of the run") { try await ended.wait() }
        #expect(ContinuousClock.now - left < .seconds(1), sourceLocation: sourceLocation)
    }
}
