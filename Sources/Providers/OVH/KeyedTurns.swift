import EventLoop

/// Lets one operation at a time at each VM, within this process. Between processes the job queue does that, and what
/// slips through is settled by looking at the instances of the name again.
actor KeyedTurns {
    private var busy: Set<String> = []
    private var waiting: [String: [Waiter<Void>]] = [:]

    nonisolated func take<Result>(_ key: String, _ body: () async throws -> Result) async throws -> Result {
        try await enter(key)
        do {
            let result = try await body()
            await leave(key)
            return result
        } catch {
            await leave(key)
            throw error
        }
    }

    private func enter(_ key: String) async throws {
        while !busy.insert(key).inserted {
            let waiter = Waiter<Void>()
            waiting[key, default: []].append(waiter)
            try await waiter.value()
        }
    }

    private func leave(_ key: String) {
        busy.remove(key)
        for waiter in waiting.removeValue(forKey: key) ?? [] { waiter.resume(with: .success(())) }
    }
}
