import Redis

/// Some of the jobs in a state.
package struct JobPage: Sendable {
    package let jobs: [Job]  // newest first
    package let total: Int  // in the state, when the page was read
    package let nextOffset: Int?  // of the following page; nil: this is the last
}

/// A job with the newest of its log.
package struct JobDetail: Sendable {
    package let job: Job
    package let logs: [String]  // oldest first
    package let logCount: Int  // rows in all
}

/// Jobs that ended, of one outcome.
package struct JobMetrics: Sendable {
    package let count: Int  // since metrics are collected
    package let perMinute: [Int]  // newest minute first; the present one is not in it
}

extension JobQueue {
    /// Jobs or log rows that one call returns at most.
    package static let pageLimit = 1_000

    /// The job with its state, as they are at one moment; nil if there is none.
    package func job(_ id: String) async throws -> Job? {
        let reply = try await run(Lua.job, RedisArgument(id))
        guard let parts = reply.elements, parts.count == 2 else { throw malformed(reply, of: Lua.job) }
        let (state, fields) = (parts[0].text.flatMap { JobState(rawValue: $0) } ?? .unknown, parts[1].fields)
        return fields.isEmpty ? nil : Job(id: id, fields: fields, state: state)
    }

    /// The job with its state and the newest rows of its log; nil if there is none.
    package func find(_ id: String, logRows: Int = 100) async throws -> JobDetail? {
        guard let job = try await job(id) else { return nil }
        let rows = max(1, min(logRows, Self.pageLimit))
        let logs: RedisArgument = "\(key(id)):logs"
        let replies = try await redis.pipeline([["LRANGE", logs, RedisArgument(-rows), -1], ["LLEN", logs]])
        return JobDetail(
            job: job, logs: (replies[0].elements ?? []).compactMap { $0.text }, logCount: replies[1].number ?? 0)
    }

    package func state(of id: String) async throws -> JobState {
        let reply = try await run(Lua.state, RedisArgument(id))
        return reply.text.flatMap { JobState(rawValue: $0) } ?? .unknown
    }

    /// How many jobs are in each state (all but `unknown`).
    package func counts() async throws -> [JobState: Int] {
        let columns = JobState.allCases.compactMap { state in state.column.map { (state, $0) } }
        let replies = try await redis.pipeline(columns.map { [$0.1.count, "\(key($0.1.suffix))"] })
        var counts: [JobState: Int] = [:]
        for ((state, _), reply) in zip(columns, replies) { counts[state] = reply.number ?? 0 }
        return counts
    }

    /// A page of the jobs in a state, newest first (of `delayed` and `prioritized`: the last to run first). Jobs that
    /// come or go between two pages may be seen twice or not at all; those removed meanwhile are left out.
    package func list(_ state: JobState, offset: Int = 0, limit: Int = 50) async throws -> JobPage {
        guard let column = state.column else { return JobPage(jobs: [], total: 0, nextOffset: nil) }
        let offset = max(0, offset)
        let end = offset + max(1, min(limit, Self.pageLimit))
        let total = try await redis.command(column.count, "\(key(column.suffix))").number ?? 0
        let jobs = try await jobs(in: state, range: offset..<end)
        return JobPage(jobs: jobs, total: total, nextOffset: end < total ? end : nil)
    }

    /// Jobs in a state, newest first, at most ``pageLimit``.
    package func jobs(in state: JobState, range: Range<Int> = 0..<100) async throws -> [Job] {
        guard let column = state.column, !range.isEmpty, range.lowerBound >= 0 else { return [] }
        let last = min(range.upperBound, range.lowerBound + Self.pageLimit) - 1
        let reply = try await redis.command(
            column.isList ? "LRANGE" : "ZREVRANGE", "\(key(column.suffix))", RedisArgument(range.lowerBound),
            RedisArgument(last))
        let ids = (reply.elements ?? []).compactMap { $0.text }
        let hashes = try await redis.pipeline(ids.map { ["HGETALL", "\(key($0))"] })
        return zip(ids, hashes).compactMap { id, hash in
            let fields = hash.fields
            return fields.isEmpty ? nil : Job(id: id, fields: fields, state: state)
        }
    }

    /// The newest rows a job has logged, oldest first, at most ``pageLimit``.
    package func logs(of id: String) async throws -> [String] {
        let reply = try await redis.command("LRANGE", "\(key(id)):logs", RedisArgument(-Self.pageLimit), -1)
        return (reply.elements ?? []).compactMap { $0.text }
    }

    /// What workers that collect metrics have counted; of `completed` or `failed`, at most a day of minutes.
    package func metrics(of state: JobState) async throws -> JobMetrics {
        let totals = key("metrics:\(state.rawValue)")
        let replies = try await redis.pipeline([
            ["HGET", "\(totals)", "count"], ["LRANGE", "\(totals):data", 0, 1_439],
        ])
        return JobMetrics(
            count: replies[0].number ?? 0, perMinute: (replies[1].elements ?? []).compactMap { $0.number })
    }
}

extension JobState {
    /// The key that holds the jobs of this state.
    struct Column {
        let suffix: String
        let isList: Bool

        var count: RedisArgument { isList ? "LLEN" : "ZCARD" }
    }

    var column: Column? {
        switch self {
        case .waiting: Column(suffix: "wait", isList: true)
        case .paused, .active: Column(suffix: rawValue, isList: true)
        case .prioritized, .delayed, .completed, .failed, .waitingChildren: Column(suffix: rawValue, isList: false)
        case .unknown: nil
        }
    }
}
