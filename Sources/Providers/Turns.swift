import EventLoop

/// Lets those who ask for the same name run one after the other, in this process.
actor Turns {
    private var busy: Set<String> = []
    private var waiting: [String: [Waiter<Void>]] = [:]

    nonisolated func take<Result>(_ name: String, _ body: () async throws -> Result) async throws -> Result {
        try await enter(name)
        do {
            let result = try await body()
            await leave(name)
            return result
        } catch {
            await leave(name)
            throw error
        }
    }

    private func enter(_ name: String) async throws {
        while !busy.insert(name).inserted {
            let waiter = Waiter<Void>()
            waiting[name, default: []].append(waiter)
            try await waiter.value()
        }
    }

    private func leave(_ name: String) {
        busy.remove(name)
        for waiter in waiting.removeValue(forKey: name) ?? [] { waiter.resume(with: .success(())) }
    }
}
