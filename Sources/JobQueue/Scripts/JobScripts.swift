import Redis

extension Lua {
    /// Section 4.11, "state": the first that holds the id.
    private static let stateOf = """
        local function stateOf(id)
            for _, set in ipairs({'completed', 'failed', 'delayed', 'prioritized'}) do
                if redis.call('ZSCORE', base .. set, id) then return set end
            end
            if redis.call('LPOS', active, id) then return 'active' end
            if redis.call('LPOS', wait, id) or redis.call('LPOS', paused, id) then return 'waiting' end
            if redis.call('ZSCORE', base .. 'waiting-children', id) then return 'waiting-children' end
            return 'unknown'
        end
        """

    /// Argument: id.
    static let state = script("state", stateOf, body: "return stateOf(ARGV[1])")

    /// State and fields at one moment. Argument: id.
    static let job = script(
        "job", stateOf, body: "return {stateOf(ARGV[1]), redis.call('HGETALL', base .. ARGV[1])}")

    /// Section 4.9, "updateProgress". Arguments: id, JSON.
    static let updateProgress = script(
        "update-progress",
        body: """
            local id = ARGV[1]
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            redis.call('HSET', base .. id, 'progress', ARGV[2])
            emitCapped('progress', 'jobId', id, 'data', ARGV[2])
            return 0
            """)

    /// Section 4.9, "addLog". Arguments: id, row, newest rows to keep or empty. Returns how many there are.
    static let addLog = script(
        "add-log",
        body: """
            local id = ARGV[1]
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            local count = redis.call('RPUSH', base .. id .. ':logs', ARGV[2])
            local keep = tonumber(ARGV[3])
            if not keep then return count end
            redis.call('LTRIM', base .. id .. ':logs', -keep, -1)
            return math.min(keep, count)
            """)
}
