import Redis

extension Lua {
    /// Section 4.9, "changeDelay". Arguments: id, now, delay. Returns 0 or a refusal.
    static let changeDelay = script(
        "change-delay", enqueue,
        body: """
            local id, now, delay = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            if redis.call('ZREM', delayed, id) == 0 then return -3 end
            redis.call('HSET', base .. id, 'delay', digits(delay))
            addDelayed(id, now + delay)
            emitCapped('delayed', 'jobId', id, 'delay', digits(now + delay))
            markDelay()
            return 0
            """)

    /// Section 4.9, "changePriority": a waiting job moves to its new place, one in another state keeps the number for
    /// later. Arguments: id, priority, `1` to be the first of that priority. Returns 0 or a refusal.
    static let changePriority = script(
        "change-priority", enqueue,
        body: """
            local id, priority, isFirst = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            local list, blocked = target()
            if redis.call('ZREM', prioritized, id) + redis.call('LREM', wait, 1, id) + redis.call('LREM', paused, 1, id) > 0
            then
                if priority > 0 and isFirst then
                    redis.call('ZADD', prioritized, digits(priority * 4294967296), id)
                    markWork(blocked)
                else
                    addWaiting(id, priority, isFirst and 'RPUSH' or 'LPUSH', list, blocked)
                end
            end
            redis.call('HSET', base .. id, 'priority', digits(priority))
            return 0
            """)

    /// Section 4.9, "updateData". Arguments: id, JSON. Returns 0 or a refusal.
    static let updateData = script(
        "update-data",
        body: """
            if redis.call('EXISTS', base .. ARGV[1]) == 0 then return -1 end
            redis.call('HSET', base .. ARGV[1], 'data', ARGV[2])
            return 0
            """)
}
