import Redis

extension Lua {
    /// Ends a job for good (section 4.4). Arguments: id, token, now, `completed` or `failed`, return value (JSON) or
    /// reason (text), stack trace (JSON, failed only), attempts allowed, how many finished to keep (-1 all, 0 not even
    /// this), their greatest age in seconds (-1 any), how many to remove at most for their age, how many minutes of
    /// metrics to keep (0: none are collected), `1` to fetch the next, lock duration, worker name, its rate limit as for
    /// ``fetchNext``. Returns `{0}` or `{0, what fetch returned}`, or the refusal.
    static let finish = script(
        "finish", enqueue, fetch, leave, erase, deduplication, deduplicationEnd, metrics,
        body: """
            local id, token, now, kind, value = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
            local count, age = tonumber(ARGV[8]), tonumber(ARGV[9])
            local job, finished = base .. id, base .. kind
            if kind == 'completed' and redis.call('EXISTS', job .. ':dependencies', job .. ':unsuccessful') > 0 then
                return {redis.call('EXISTS', job .. ':dependencies') == 1 and -4 or -9}
            end
            local refusal = leaveActive(id, token)
            if refusal ~= 0 then return {refusal} end

            trimEvents()
            endDeduplication(id, now)
            local made = redis.call('HINCRBY', job, 'atm', 1)

            if count == 0 then
                erase(id)
            else
                redis.call('ZADD', finished, digits(now), id)
                if kind == 'completed' then
                    redis.call('HSET', job, 'returnvalue', value, 'finishedOn', digits(now))
                else
                    redis.call('HSET', job, 'failedReason', value, 'stacktrace', ARGV[6], 'finishedOn', digits(now))
                    redis.call('HDEL', job, 'defa')
                end
            end
            local function prune(ids)
                if #ids == 0 then return end
                for _, old in ipairs(ids) do erase(old) end
                redis.call('ZREM', finished, unpack(ids))
            end
            if age >= 0 then
                prune(redis.call('ZRANGEBYSCORE', finished, '-inf', digits(now - age * 1000), 'LIMIT', 0, ARGV[10]))
            end
            local excess = count > 0 and math.min(redis.call('ZCARD', finished) - count, 1000) or 0
            if excess > 0 then prune(redis.call('ZRANGE', finished, 0, excess - 1)) end

            if kind == 'completed' then
                emit('completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
            else
                emit('failed', 'jobId', id, 'failedReason', value, 'prev', 'active')
                if made >= tonumber(ARGV[7]) then
                    emit('retries-exhausted', 'jobId', id, 'attemptsMade', made)
                end
            end

            if tonumber(ARGV[11]) > 0 then collectMetrics(kind, now, tonumber(ARGV[11])) end
            if ARGV[12] == '1' then
                local next = fetch(now, token, ARGV[13], ARGV[14], ARGV[15], ARGV[16])
                if next[1] ~= 'none' then return {0, next} end
            end
            if redis.call('LLEN', wait) + redis.call('LLEN', active) + redis.call('ZCARD', prioritized) == 0 then
                emit('drained')
            end
            return {0}
            """)

    /// Section 4.13: jobs ended a minute, newest first, and their number in all.
    private static let metrics = """
        local function collectMetrics(kind, now, points)
            local totals = base .. 'metrics:' .. kind
            local before = redis.call('HINCRBY', totals, 'count', 1) - 1
            local since = redis.call('HGET', totals, 'prevTS')
            if not since then
                redis.call('HSET', totals, 'prevTS', digits(now), 'prevCount', 0)
                return
            end
            local minutes = math.min(math.floor(now / 60000) - math.floor(tonumber(since) / 60000), points)
            if minutes <= 0 then return end
            redis.call('LPUSH', totals .. ':data', before - tonumber(redis.call('HGET', totals, 'prevCount') or '0'))
            for _ = 2, minutes do redis.call('LPUSH', totals .. ':data', 0) end
            redis.call('LTRIM', totals .. ':data', 0, points - 1)
            redis.call('HSET', totals, 'prevCount', before, 'prevTS', digits(now))
        end
        """
}
