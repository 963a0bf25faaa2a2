import Redis

// What a job says of itself while it runs.
extension JobQueue {
    /// Adds a row to a job's log and returns how many there are. Throws `.jobMissing`.
    @discardableResult
    func addLog(_ row: String, to id: String, keeping newest: Int?) async throws -> Int {
        try await perform(Lua.addLog, on: id, RedisArgument(row), RedisArgument(newest.map(String.init) ?? ""))
    }

    func updateProgress(_ json: String, of id: String) async throws {
        guard isJSON(json) else {
            throw JobQueueError(.invalidJob, "Progress of job '\(id)' is not JSON.", hint: "Encode it as JSON text.")
        }
        try await perform(Lua.updateProgress, on: id, RedisArgument(json))
    }
}
