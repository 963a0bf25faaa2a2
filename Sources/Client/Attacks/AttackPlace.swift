import EventLoop
import Foundation

/// An environment that is made to be attacked from within, and destroyed afterwards.
package struct AttackPlace: Sendable {
    private let client: APIClient
    package let slug: String
    package let provider: String

    /// Small, so that what fills it is soon done: the limits of its disk and memory are among what is attacked.
    private static let size: [String: JSONValue] = [
        "vcpus": .integer(2), "memoryMb": .integer(2_048), "diskMb": .integer(1_024), "durationHours": .integer(1),
    ]

    /// Makes it and waits until it runs. Throws ``ClientError``.
    package static func make(_ client: APIClient, provider: String?) async throws -> AttackPlace {
        var body = size.merging(["name": .string("attacks \(UUID().uuidString.prefix(8).lowercased())")]) { $1 }
        if let provider { body["provider"] = .string(provider) }
        let answer = try await client.create("/v1/environments", json: JSONValue.object(body))
        let made = try answer.decoded(as: JSONValue.self)
        guard let slug = made["environment.slug"]?.text, let provider = made["environment.provider"]?.text else {
            throw ClientError(
                .failed, code: "answer_not_understood", message: "The server's answer names no environment.",
                hint: "Client and server may be of different versions: 'martlet --version'.")
        }
        let place = AttackPlace(client: client, slug: slug, provider: provider)
        do {
            try await place.waitUntilRunning()
        } catch {
            await Task { await place.destroy() }.value  // although this task may be cancelled
            throw error
        }
        return place
    }

    private func waitUntilRunning() async throws {
        for _ in 0..<3_600 {
            let now = try await client.call("GET", "/v1/environments/\(slug)").decoded(as: JSONValue.self)
            switch now["environment.state"]?.text {
            case "running", "stopped": return
            case "error":
                throw ClientError(
                    .failed, code: "environment_failed",
                    message: "It was not made: \(now["environment.errorMessage"]?.text ?? "no reason is noted")",
                    hint: "See 'martlet env logs \(slug)' and 'martlet doctor'.")
            default: try await Task.sleep(for: .milliseconds(100))
            }
        }
        throw ClientError(
            .failed, code: "environment_late", message: "Its VM is not there after six minutes.",
            hint: "See 'martlet doctor'.")
    }

    /// What the VM calls itself, and whether runs in it see the VM's first process: then they have no namespaces of their
    /// own, and their limits are watched.
    package func look() async throws -> (hostName: String, isWatched: Bool) {
        let run = RunRequest(language: "bash", code: Array("cat /etc/hostname; [ -e /proc/1/stat ] && echo seen".utf8))
        var request = run
        request.stdin = ""
        request.environment = slug
        var said: [UInt8] = []
        try await client.lines("POST", "/v1/execute", accept: "application/x-ndjson", json: request) { line in
            if case .output(toError: false, let bytes) = try RunEvent(line: line) { said += bytes }
            return true
        }
        let lines = String(decoding: said, as: UTF8.self).split(separator: "\n").map(String.init)
        return (lines.first ?? "", lines.last == "seen")
    }

    /// As far as it can be.
    package func destroy() async {
        _ = try? await client.call("DELETE", "/v1/environments/\(slug)")
    }
}
