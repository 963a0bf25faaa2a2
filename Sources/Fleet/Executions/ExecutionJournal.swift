import Foundation
import Redis

/// What the history does not say yet of executions, in Redis: that they have begun, and how they ended.
///
/// A caller is told the beginning and the end of a run once neither can be lost with its gateway any more, and from then
/// on may ask any gateway about it. The history's commit takes longest of all that a short run waits for; a copy here
/// takes a tenth of that, and the row is written behind the caller's back, of a short run once for both. Whoever looks
/// for a row first writes those that have only begun here (``ExecutionStore/admit(where:)``); whoever meets one that
/// still says `running`, a reader or the sweep, looks whether its end is here (``ExecutionStore/settle(_:)``). So only a
/// gateway that dies together with Redis's data, within the moment in between, leaves a history that says less than its
/// callers were told: no row, or one that becomes `lost`.
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

    /// Most bytes of output of an end, and of code of a beginning, that are kept here; more takes longer than the row.
    package static let sizeLimit = 16 << 10
    /// Seconds. Gateways that die leave ends; the sweep takes them up within one.
    static let lifetime = 86_400

    let redis: RedisClient
    var prefix = "martlet:"

    // MARK: Beginnings

    /// `false`: it is too large for that. All that have begun are in one hash: a gateway has written what it puts here
    /// within a moment, and at most `HistoryWriter.capacity` are ever on their way from it.
    package func keep(_ record: ExecutionRecord) async throws -> Bool {
        guard record.code.count <= Self.sizeLimit else { return false }
        let text = KeptBeginning.json(record)
        return try await ServiceError.translating("Beginning of execution \(record.id) not kept") {
            try await redis.command("HSET", begun, RedisArgument("\(record.id)"), RedisArgument(text))
            return true
        }
    }

    /// Those that have begun and are not in the history yet, as far as this knows. What another version of this keeps
    /// that this cannot read is left to it.
    func beginnings() async throws -> [ExecutionRecord] {
        try await ServiceError.translating("Beginnings of executions not read") {
            let reply = try await redis.command("HVALS", begun)
            return (reply.elements ?? []).compactMap { value in
                guard let bytes = value.bytes else { return nil }
                return try? JSONDecoder().decode(KeptBeginning.self, from: Data(bytes)).record
            }
        }
    }

    // MARK: Ends

    /// `false`: it is too large for that.
    package func keep(_ entry: Entry) async throws -> Bool {
        guard entry.outcome.stdout.count + entry.outcome.stderr.count <= Self.sizeLimit else { return false }
        let text = KeptEnd.json(entry)
        return try await ServiceError.translating("End of execution \(entry.id) not kept") {
            try await redis.command(
                "SET", ended(entry.id), RedisArgument(text), "EX", RedisArgument(Self.lifetime))
            return true
        }
    }

    /// Those of these that are here.
    func ends(_ ids: [ExecutionID]) async throws -> [Entry] {
        guard !ids.isEmpty else { return [] }
        return try await ServiceError.translating("Ends of executions not read") {
            let reply = try await redis.command(["MGET"] + ids.map { ended($0) })
            return try zip(ids, reply.elements ?? []).compactMap { id, value in
                guard let bytes = value.bytes else { return nil }
                return try JSONDecoder().decode(KeptEnd.self, from: Data(bytes)).entry(id)
            }
        }
    }

    // MARK: Forgetting

    /// The history says that it has begun.
    package func forgetBeginning(_ id: ExecutionID) async throws {
        _ = try await ServiceError.translating("Beginning of execution \(id) not forgotten") {
            try await redis.command("HDEL", begun, RedisArgument("\(id)"))
        }
    }

    /// The history says all of it.
    package func forget(_ id: ExecutionID) async throws {
        _ = try await ServiceError.translating("Execution \(id) not forgotten") {
            try await redis.pipeline([["HDEL", begun, RedisArgument("\(id)")], ["DEL", ended(id)]])
        }
    }

    private var begun: RedisArgument { RedisArgument("\(prefix)begun") }
    private func ended(_ id: ExecutionID) -> RedisArgument { RedisArgument("\(prefix)ended:\(id)") }
}

/// A beginning as Redis has it.
private struct KeptBeginning: Decodable {
    let id: ExecutionID
    let user: UserID
    let environment: EnvironmentID
    let gateway: String
    let request: String?
    let language: String
    let code: Data
    let startedAt: Double  // seconds since 1970

    static func json(_ record: ExecutionRecord) -> [UInt8] {
        var writer = JSONWriter(capacity: 384 + record.code.count * 3 / 2)
        writer.field("id", "\(record.id)")
        writer.field("user", "\(record.userID)")
        writer.field("environment", "\(record.environmentID)")
        writer.field("gateway", record.gatewayID)
        writer.field("request", record.requestID)
        writer.field("language", record.language)
        writer.field("code", Data(record.code).base64EncodedString())
        writer.field("startedAt", record.startedAt.timeIntervalSince1970)
        return writer.ended()
    }

    var record: ExecutionRecord {
        ExecutionRecord(
            id: id, userID: user, environmentID: environment, gatewayID: gateway, requestID: request,
            language: language, code: [UInt8](code), startedAt: Date(timeIntervalSince1970: startedAt))
    }
}

/// An end as Redis has it.
private struct KeptEnd: Decodable {
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
    let endedAt: Double?  // seconds since 1970; what an older gateway kept does not say
    let actor: AuditActor

    static func json(_ entry: ExecutionJournal.Entry) -> [UInt8] {
        let outcome = entry.outcome
        var writer = JSONWriter(capacity: 512 + (outcome.stdout.count + outcome.stderr.count) * 3 / 2)
        writer.field("state", outcome.state.rawValue)
        writer.field("exitCode", outcome.exitCode)
        writer.field("signal", outcome.signal)
        writer.field("durationMs", outcome.durationMs)
        writer.field("cpuMs", outcome.cpuMs)
        writer.field("maxRssBytes", outcome.maxRssBytes)
        writer.field("truncated", outcome.truncated)
        writer.field("stdout", Data(outcome.stdout).base64EncodedString())
        writer.field("stderr", Data(outcome.stderr).base64EncodedString())
        writer.field("stdoutBytes", outcome.stdoutBytes)
        writer.field("stderrBytes", outcome.stderrBytes)
        writer.field("errorCode", outcome.errorCode?.rawValue)
        writer.field("errorMessage", outcome.errorMessage)
        writer.field("endedAt", outcome.endedAt.timeIntervalSince1970)
        var actor = JSONWriter(capacity: 64)
        actor.field("kind", entry.actor.kind.rawValue)
        actor.field("id", entry.actor.id)
        writer.field("actor", json: actor.ended())
        return writer.ended()
    }

    func entry(_ id: ExecutionID) -> ExecutionJournal.Entry {
        var outcome = ExecutionOutcome(state: state, endedAt: endedAt.map(Date.init(timeIntervalSince1970:)) ?? .now)
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
