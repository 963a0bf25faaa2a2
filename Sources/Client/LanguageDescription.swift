import Foundation

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
    private struct LanguagesAnswer: Decodable { let runtimes: [LanguageDescription] }

    package func languages() async throws -> [LanguageDescription] {
        try await call("GET", "/v1/runtimes").decoded(as: LanguagesAnswer.self).runtimes
    }
}
