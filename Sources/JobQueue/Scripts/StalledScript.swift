import Redis

extension Lua {
    /// One stalled pass (section 4.6), at most one an interval over all workers: jobs marked at the last pass, not
    /// renewed since and without a lock go back to be taken next; those still active are marked. Arguments: now,
    /// interval, how often a job may stall. Returns the recovered ids.
    static let recoverStalled = script(
        "recover-stalled", enqueue,
        body: """
            local stalled = base .. 'stalled'
            if not redis.call('SET', base .. 'stalled-check', ARGV[1], 'PX', ARGV[2], 'NX') then return {} end
            trimEvents()
            local recovered = {}
            local suspects = redis.call('SMEMBERS', stalled)
            redis.call('DEL', stalled)
            for _, id in ipairs(suspects) do
                local job = base .. id
                if redis.call('EXISTS', job .. ':lock') == 0 and redis.call('LREM', active, 1, id) > 0
                    and redis.call('EXISTS', job) == 1
                then
                    if redis.call('HINCRBY', job, 'stc', 1) > tonumber(ARGV[3]) then
                        redis.call('HSET', job, 'defa', 'job stalled more than allowable limit')
                    end
                    local list, blocked = target()
                    redis.call('RPUSH', list, id)
                    markWork(blocked)
                    emit('waiting', 'jobId', id, 'prev', 'active')
                    emit('stalled', 'jobId', id)
                    recovered[#recovered + 1] = id
                end
            end
            local running = redis.call('LRANGE', active, 0, -1)
            for first = 1, #running, 1000 do
                redis.call('SADD', stalled, unpack(running, first, math.min(first + 999, #running)))
            end
            return recovered
            """)
}
