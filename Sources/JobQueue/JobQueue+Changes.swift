import Redis

// Jobs that are in the queue already, made otherwise. All throw `.jobMissing`, and `.invalidJob` for what ``add`` refuses.
extension JobQueue {
    /// Lets a delayed job run so long from now. Throws `.wrongState` if it is not delayed.
    package func setDelay(_ delay: Duration, of id: String) async throws {
        try JobOptions(delay: delay).validate()
        try await perform(Lua.changeDelay, on: id, RedisArgument(now()), RedisArgument(delay.milliseconds))
    }

    /// Changes how urgent a job is (see ``JobOptions/priority``). A waiting one takes its new place: the last of those
    /// of its priority, or the first.
    package func setPriority(_ priority: Int, of id: String, first: Bool = false) async throws {
        try JobOptions(priority: priority).validate()
        try await perform(Lua.changePriority, on: id, RedisArgument(priority), first ? "1" : "0")
    }

    /// Replaces a job's data by JSON text. A handler that runs it now has the former.
    package func setData(_ data: String, of id: String) async throws {
        guard isJSON(data) else {
            throw JobQueueError(.invalidJob, "Data for job '\(id)' is not JSON.", hint: "Encode it as JSON text.")
        }
        try await perform(Lua.updateData, on: id, RedisArgument(data))
    }
}
