import Redis

extension Lua {
    /// Takes the next job, locked with a token (section 4.2). Arguments: now, token, lock duration, worker name,
    /// its rate limit's count and window or two empty words.
    static let fetchNext = script(
        "fetch", enqueue, fetch,
        body: "return fetch(tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])")

    /// Renews locks (section 4.3) and returns the ids that failed. Arguments: lock duration, then id, token, ….
    static let extendLocks = script(
        "extend-locks",
        body: """
            local lost = {}
            for i = 2, #ARGV, 2 do
                local id, token = ARGV[i], ARGV[i + 1]
                if redis.call('GET', base .. id .. ':lock') == token then
                    redis.call('SET', base .. id .. ':lock', token, 'PX', ARGV[1])
                    redis.call('SREM', base .. 'stalled', id)
                else
                    lost[#lost + 1] = id
                end
            end
            return lost
            """)
}
