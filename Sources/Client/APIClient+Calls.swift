import Foundation

/// A user's VM as the API shows it.
package struct VMDescription: Decodable, Sendable {
    package let id: String
    package let slug: String?
    package let name: String?
    package let status: String
    package let state: String?
    package let tier: String?
    package let vcpus: Int?
    package let memoryMb: Int?
    package let diskMb: Int?
    package let provider: String?
    package let errorMessage: String?
    package let createdAt: String?
    package let startedAt: String?
    package let lastActivityAt: String?
}

/// One line of a provision log.
package struct VMLogLine: Decodable, Hashable, Sendable {
    package let timestamp: String
    package let level: String
    package let message: String
}

/// An API token as the API lists it: never the token itself.
package struct TokenDescription: Decodable, Sendable {
    package let id: String
    package let name: String
    package let scopes: [String]
    package let createdAt: String?
    package let lastUsedAt: String?
    package let expiresAt: String?
    package let revokedAt: String?
    package let token: String?  // only in the answer to its making
}

/// A language as the API lists it.
package struct LanguageDescription: Decodable, Sendable {
    package let name: String
    package let title: String
    package let aliases: [String]
    package let extensions: [String]
    package let version: String?
    package let available: Bool?
    package let missing: [String]
}

extension APIClient {
    package struct VMAnswer: Decodable { package let vm: VMDescription? }
    package struct LogAnswer: Decodable { package let logs: [VMLogLine] }
    package struct TokensAnswer: Decodable { package let tokens: [TokenDescription] }
    package struct LanguagesAnswer: Decodable { package let runtimes: [LanguageDescription] }

    package func languages() async throws -> [LanguageDescription] {
        try await call("GET", "/v1/runtimes").decoded(as: LanguagesAnswer.self).runtimes
    }

    package func vm() async throws -> VMDescription? {
        try await call("GET", "/v1/vm").decoded(as: VMAnswer.self).vm
    }

    /// The VM's log as it stands, oldest line first.
    package func vmLog() async throws -> [VMLogLine] {
        try await call("GET", "/v1/vm/logs").decoded(as: LogAnswer.self).logs
    }

    /// Calls `line` for each line of the VM's log as it is written, until it returns false or the task is cancelled.
    package func followLog(_ line: (VMLogLine) async throws -> Bool) async throws {
        try await lines("GET", "/v1/vm/logs?follow=1", accept: "text/event-stream") { bytes in
            guard bytes.starts(with: "data:".utf8) else { return true }
            guard let entry = try? JSONDecoder().decode(VMLogLine.self, from: Data(bytes.dropFirst(5))) else {
                return true  // an event of another kind
            }
            return try await line(entry)
        }
    }
}
