import Execution
import Fleet
import Foundation
import HTTPTypes
import NIOCore

/// A user's VM as the API shows it.
struct VMView: Encodable, Sendable {
    var id: EnvironmentID
    var slug: Slug
    var name: String
    var status: UserVMStatus
    var state: EnvironmentState
    var tier: Tier
    var vcpus: Int
    var memoryMb: Int
    var diskMb: Int
    var provider: String
    @Nullable var errorMessage: String?
    var createdAt: Date
    @Nullable var startedAt: Date?
    @Nullable var lastActivityAt: Date?
}

/// An execution in the history; `code`, `stdout` and `stderr` (the first 64 KiB of each) only when asked for by id.
struct ExecutionView: Encodable, Sendable {
    var id: ExecutionID
    var environmentId: EnvironmentID
    @Nullable var requestId: String?
    var state: String
    var language: String
    var codeBytes: Int
    @Nullable var exitCode: Int?
    @Nullable var signal: String?
    @Nullable var durationMs: Double?
    @Nullable var cpuMs: Double?
    @Nullable var maxRssBytes: Int?
    @Nullable var truncated: Bool?
    @Nullable var stdoutBytes: Int?
    @Nullable var stderrBytes: Int?
    @Nullable var errorCode: String?
    @Nullable var errorMessage: String?
    var startedAt: Date
    @Nullable var finishedAt: Date?
    var code: TextOrBytes?
    var stdout: TextOrBytes?
    var stderr: TextOrBytes?
}

/// One line of a provision log.
struct LogLineView: Encodable, Sendable {
    var timestamp: String
    var level: String
    var message: String
}

/// A token; its text only in the answer to its making.
struct TokenView: Encodable, Sendable {
    var token: String?
    var id: TokenID
    var name: String
    var scopes: [String]
    var createdAt: Date
    @Nullable var lastUsedAt: Date?
    @Nullable var expiresAt: Date?
    @Nullable var revokedAt: Date?
}

/// Bytes kept of a program: text where they are UTF-8, else `{"data":…,"encoding":"base64"}`. A kept part may end
/// inside a character, which is then left off.
struct TextOrBytes: Encodable, Sendable {
    let bytes: [UInt8]

    func encode(to encoder: any Encoder) throws {
        var joiner = TextJoiner()
        switch joiner.append(bytes) {
        case nil:
            var container = encoder.singleValueContainer()
            try container.encode("")
        case .text(let text):
            var container = encoder.singleValueContainer()
            try container.encode(String(decoding: text, as: UTF8.self))
        case .bytes:
            var container = encoder.container(keyedBy: Key.self)
            try container.encode(Data(bytes).base64EncodedString(), forKey: .data)
            try container.encode("base64", forKey: .encoding)
        }
    }

    private enum Key: String, CodingKey { case data, encoding }
}

/// A field that says `null` where it has no value, instead of being left out.
@propertyWrapper
struct Nullable<Value: Encodable & Sendable>: Encodable, Sendable {
    var wrappedValue: Value?

    init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue)
    }
}

extension Exchange {
    /// Answers with a value as JSON: dates in ISO 8601 with milliseconds, names sorted.
    func respond(_ status: HTTPResponse.Status = .ok, json value: some Encodable) async throws {
        try await respond(
            status, headers: [.contentType: "application/json"],
            body: ByteBuffer(bytes: try JSONView.encode(value) + [UInt8(ascii: "\n")]))
    }
}

enum JSONView {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .custom { date, encoder in
            var container = encoder.singleValueContainer()
            try container.encode(
                date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true, timeZone: .gmt)))
        }
        return Array(try encoder.encode(value))
    }
}
