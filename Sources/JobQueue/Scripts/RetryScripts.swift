import Redis

extension Lua {
    /// Ends an attempt; the job runs again later (section 4.5, "Delayed retry"). Arguments: id, token, now, delay,
    /// `1` if the attempt counts, reason, stack trace (both only if it counts), `1` to fetch the next, lock duration,
    /// worker name, its rate limit. Returns as ``finish`` does, with a fetch result only when it is a job.
    static let retryLater = script(
        "retry-later", enqueue, fetch, leave,
        body: """
            local id, now, delay = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
            local refusal = leaveActive(id, ARGV[2])
            if refusal ~= 0 then return {refusal} end
            if ARGV[5] == '1' then
                redis.call('HSET', base .. id, 'failedReason', ARGV[6], 'stacktrace', ARGV[7])
                redis.call('HINCRBY', base .. id, 'atm', 1)
            end
            redis.call('HSET', base .. id, 'delay', digits(delay))
            addDelayed(id, now + delay)
            emitCapped('delayed', 'jobId', id, 'delay', digits(now + delay))
            if ARGV[8] == '1' then
                local next = fetch(now, ARGV[2], ARGV[9], ARGV[10], ARGV[11], ARGV[12])
                if next[1] == 'job' then return {0, next} end
            end
            markDelay()
            return {0}
            """)

    /// Ends an attempt; the job waits again at once, behind the others unless it is lifo (section 4.5, "Immediate
    /// retry"). Arguments: id, token, now, reason, stack trace, `1` for lifo.
    static let retryNow = script(
        "retry-now", enqueue, fetch, leave,
        body: """
            local id = ARGV[1]
            local refusal = leaveActive(id, ARGV[2])
            if refusal ~= 0 then return {refusal} end
            redis.call('HSET', base .. id, 'failedReason', ARGV[4], 'stacktrace', ARGV[5])
            local list, blocked = target()
            promote(tonumber(ARGV[3]), list, blocked)
            local priority = tonumber(redis.call('HGET', base .. id, 'priority') or '0')
            addWaiting(id, priority, ARGV[6] == '1' and 'RPUSH' or 'LPUSH', list, blocked)
            redis.call('HINCRBY', base .. id, 'atm', 1)
            emitCapped('waiting', 'jobId', id, 'prev', 'active')
            return {0}
            """)

    /// Gives an unfinished job back, next to be taken; the attempt does not count (section 4.5, "moveToWait").
    /// Arguments: id, token.
    static let putBack = script(
        "put-back", enqueue, leave,
        body: """
            local id = ARGV[1]
            local refusal = leaveActive(id, ARGV[2])
            if refusal ~= 0 then return {refusal} end
            local list, blocked = target()
            local priority = tonumber(redis.call('HGET', base .. id, 'priority') or '0')
            if priority > 0 then
                redis.call('ZADD', prioritized, digits(priority * 4294967296), id)
            else
                redis.call('RPUSH', list, id)
            end
            markWork(blocked)
            emitCapped('waiting', 'jobId', id, 'prev', 'active')
            return {0}
            """)
}
