import Foundation
import Redis

/// How executions ended that the history does not say yet, in Redis.
///
/// A caller is told the end of a run once it cannot be lost with its gateway any more. The history's commit takes
/// longest of all that a short run waits for; a copy here takes a tenth of that, and the row is completed behind the
/// caller's back. Whoever meets a row that still says `running`, a reader or the sweep, first looks whether its end is
/// here (``ExecutionStore/settle(_:)``). So only a gateway that dies together with Redis's data, within the moment in
/// between, leaves a row that says less than its caller was told: it becomes `lost`.
package struct ExecutionJournal: Sendable {
    package struct Entry: Sendable {
        package let id: ExecutionID
        package let outcome: ExecutionOutcome
        package let actor: AuditActor

        package init(id: ExecutionID, outcome: ExecutionOutcome, actor: AuditActor) {
            self.id = id
            self.outcome = outcome
            self.actor = actor
        }
    }

    /// Most bytes of output of an end that is kept here; more takes longer than the row.
    package static let outputLimit = 16 << 10
    /// Seconds. Gateways that die leave entries; the sweep takes them up within one.
    static let lifetime = 86_400

    let redis: RedisClient
    var prefix = "martlet:ended:"

    /// `false`: it is too large for that.
    package func keep(_ entry: Entry) async throws -> Bool {
        guard entry.outcome.stdout.count + entry.outcome.stderr.count <= Self.outputLimit else { return false }
        let text = try JSONEncoder().encode(Kept(entry))
        return try await ServiceError.translating("End of execution \(entry.id) not kept") {
            try await redis.command(
                "SET", key(entry.id), RedisArgument([UInt8](text)), "EX", RedisArgument(Self.lifetime))
            return true
        }
    }

    /// Those of these that are here.
    func entries(_ ids: [ExecutionID]) async throws -> [Entry] {
        guard !ids.isEmpty else { return [] }
        return try await ServiceError.translating("Ends of executions not read") {
            let reply = try await redis.command(["MGET"] + ids.map { key($0) })
            return try zip(ids, reply.elements ?? []).compactMap { id, value in
                guard let bytes = value.bytes else { return nil }
                return try JSONDecoder().decode(Kept.self, from: Data(bytes)).entry(id)
            }
        }
    }

    /// The history says it now.
    package func forget(_ id: ExecutionID) async throws {
        _ = try await ServiceError.translating("End of execution \(id) not forgotten") {
            try await redis.command("DEL", key(id))
        }
    }

    private func key(_ id: ExecutionID) -> RedisArgument { RedisArgument("\(prefix)\(id)") }
}

/// An entry as Redis has it.
private struct Kept: Codable {
    let state: ExecutionState
    let exitCode: Int?
    let signal: String?
    let durationMs: Double?
    let cpuMs: Double?
    let maxRssBytes: Int?
    let truncated: Bool?
    let stdout: Data
    let stderr: Data
    let stdoutBytes: Int
    let stderrBytes: Int
    let errorCode: ServiceError.Code?
    let errorMessage: String?
    let actor: AuditActor

    init(_ entry: ExecutionJournal.Entry) {
        let outcome = entry.outcome
        state = outcome.state
        exitCode = outcome.exitCode
        signal = outcome.signal
        durationMs = outcome.durationMs
        cpuMs = outcome.cpuMs
        maxRssBytes = outcome.maxRssBytes
        truncated = outcome.truncated
        stdout = Data(outcome.stdout)
        stderr = Data(outcome.stderr)
        stdoutBytes = outcome.stdoutBytes
        stderrBytes = outcome.stderrBytes
        errorCode = outcome.errorCode
        errorMessage = outcome.errorMessage
        actor = entry.actor
    }

    func entry(_ id: ExecutionID) -> ExecutionJournal.Entry {
        var outcome = ExecutionOutcome(state: state)
        outcome.exitCode = exitCode
        outcome.signal = signal
        outcome.durationMs = durationMs
        outcome.cpuMs = cpuMs
        outcome.maxRssBytes = maxRssBytes
        outcome.truncated = truncated
        outcome.stdout = [UInt8](stdout)
        outcome.stderr = [UInt8](stderr)
        outcome.stdoutBytes = stdoutBytes
        outcome.stderrBytes = stderrBytes
        outcome.errorCode = errorCode
        outcome.errorMessage = errorMessage
        return ExecutionJournal.Entry(id: id, outcome: outcome, actor: actor)
    }
}
