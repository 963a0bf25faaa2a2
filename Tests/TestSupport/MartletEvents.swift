import Foundation
import HTTPTransport

/// One event of an execution, as a client sees it on the wire.
package struct MartletEvent: Decodable, Sendable {
    package let event: String
    package let state: String?
    package let message: String?
    package let executionId: String?
    package let seq: Int?
    package let data: String?
    package let encoding: String?
    package let exitCode: Int?
    package let signal: String?
    package let reason: String?
    package let stage: String?
    package let durationMs: Double?
    package let cpuMs: Double?
    package let maxRssBytes: Int?
    package let truncated: Bool?
    package let code: String?
    package let hint: String?

    /// What was printed, of an output event.
    package var bytes: [UInt8] {
        guard let data else { return [] }
        return encoding == "base64" ? Data(base64Encoded: data).map(Array.init) ?? [] : Array(data.utf8)
    }
}

extension [MartletEvent] {
    package var stdout: String { String(decoding: output("stdout"), as: UTF8.self) }
    package var stderr: String { String(decoding: output("stderr"), as: UTF8.self) }

    package func output(_ stream: String) -> [UInt8] { filter { $0.event == stream }.flatMap(\.bytes) }

    package var exit: MartletEvent? { last.flatMap { $0.event == "exit" ? $0 : nil } }
    package var error: MartletEvent? { last.flatMap { $0.event == "error" ? $0 : nil } }
}

/// The events of one execution as they come, from its NDJSON.
package struct MartletEvents: AsyncSequence, Sendable {
    package typealias Element = MartletEvent

    let response: HTTPStreamingResponse

    package struct AsyncIterator: AsyncIteratorProtocol {
        var chunks: HTTPStreamingResponse.AsyncIterator
        var held: [UInt8] = []
        var start = 0  // of what has not been looked at

        package mutating func next() async throws -> MartletEvent? {
            while true {
                if let end = held[start...].firstIndex(of: UInt8(ascii: "\n")) {
                    let line = held[start..<end]
                    start = end + 1
                    return try JSONDecoder().decode(MartletEvent.self, from: Data(line))
                }
                held.removeFirst(start)
                start = 0
                guard let chunk = try await chunks.next() else { return nil }
                held += chunk
            }
        }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(chunks: response.makeAsyncIterator()) }
}
