import Redis

extension Lua {
    /// One list into another that may not be empty: where BullMQ 5 renames over it and loses jobs, the one with the
    /// older jobs goes to the right end, where jobs are taken (section 9 #1, #2, #4).
    private static let merge = """
        local function oldest(list)
            local stamp = redis.call('HGET', base .. (redis.call('LINDEX', list, -1) or ''), 'timestamp')
            return stamp and tonumber(stamp) or 0
        end

        local function merge(source, destination)
            if redis.call('EXISTS', source) == 0 then return end
            if redis.call('EXISTS', destination) == 0 then return redis.call('RENAME', source, destination) end
            if oldest(source) <= oldest(destination) then
                while redis.call('LMOVE', source, destination, 'LEFT', 'RIGHT') do end
            else
                while redis.call('LMOVE', source, destination, 'RIGHT', 'LEFT') do end
            end
        end
        """

    /// Section 4.8, with the merge above.
    static let pause = script(
        "pause", merge,
        body: """
            merge(wait, paused)
            redis.call('HSET', meta, 'paused', 1)
            redis.call('DEL', marker)
            emit('paused')
            return 0
            """)

    /// Section 4.8, with the merge above; the marker is set whenever there is something to take (section 9 #3, #4).
    static let resume = script(
        "resume", merge,
        body: """
            merge(paused, wait)
            redis.call('HDEL', meta, 'paused')
            if redis.call('EXISTS', wait, prioritized) > 0 then markWork(false) else markDelay() end
            emit('resumed')
            return 0
            """)
}
