/// Which workers live, and which providers they have: a job whose provider this worker lacks may be another's, who is only
/// busy.
package struct WorkerPresence: Sendable {
    let presence: Presence

    /// Beats every 3 s until cancelled. What fails is logged and tried again.
    package func beat(_ worker: String, providers: [String]) async throws {
        try await presence.beat(members(worker, providers))
    }

    /// Takes a worker out that takes no more jobs.
    package func leave(_ worker: String, providers: [String]) async throws {
        try await presence.leave(members(worker, providers))
    }

    /// The providers that a living worker has; `nil` if that cannot be told yet.
    package func providers() async throws -> Set<String>? {
        try await presence.alive().map { members in
            Set(members.compactMap { $0.split(separator: " ").first.map(String.init) })
        }
    }

    private func members(_ worker: String, _ providers: [String]) -> [String] { providers.map { "\($0) \(worker)" } }
}
