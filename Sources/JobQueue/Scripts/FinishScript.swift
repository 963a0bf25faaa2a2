import Redis

extension Lua {
    /// Ends a job for good (section 4.4). Arguments: id, token, now, `completed` or `failed`, return value (JSON) or
    /// reason (text), stack trace (JSON, failed only), attempts allowed, how many finished to keep (-1 all, 0 not even
    /// this), their greatest age in seconds (-1 any), `1` to fetch the next, lock duration, worker name. Returns
    /// `{0}` or `{0, what fetch returned}`, or the refusal. Pruning is at most 1000 jobs of each kind a call.
    static let finish = script(
        "finish", enqueue, fetch, leave, erase,
        body: """
            local id, token, now, kind, value = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
            local count, age = tonumber(ARGV[8]), tonumber(ARGV[9])
            local job, finished = base .. id, base .. kind
            if kind == 'completed' then
                if redis.call('SCARD', job .. ':dependencies') > 0 then return {-4} end
                if redis.call('ZCARD', job .. ':unsuccessful') > 0 then return {-9} end
            end
            local refusal = leaveActive(id, token)
            if refusal ~= 0 then return {refusal} end

            trimEvents()
            local name = redis.call('HGET', job, 'deid')
            if name then
                releaseDeduplication(id, name)
                -- An add that found this job active left what is to run next (section 4.12, keepLastIfActive).
                local pending = base .. 'dn:' .. name
                local kept = redis.call('HMGET', pending, 'name', 'data', 'opts', 'jid')
                if kept[1] and kept[4] then
                    local options = cjson.decode(kept[3] or '{}')
                    redis.call('INCR', base .. 'id')
                    redis.call('SET', base .. 'de:' .. name, kept[4])
                    redis.call('DEL', pending)
                    addJob(kept[4], kept[1], kept[2] or '{}', kept[3] or '{}', now, tonumber(options.delay) or 0,
                        tonumber(options.priority) or 0, options.lifo == true, 'deid', name)
                end
            end
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
                prune(redis.call('ZRANGEBYSCORE', finished, '-inf', digits(now - age * 1000), 'LIMIT', 0, 1000))
            end
            local excess = math.min(redis.call('ZCARD', finished) - count, 1000)
            if count > 0 and excess > 0 then prune(redis.call('ZRANGE', finished, 0, excess - 1)) end

            if kind == 'completed' then
                emit('completed', 'jobId', id, 'returnvalue', value, 'prev', 'active')
            else
                emit('failed', 'jobId', id, 'failedReason', value, 'prev', 'active')
                if made >= tonumber(ARGV[7]) then
                    emit('retries-exhausted', 'jobId', id, 'attemptsMade', made)
                end
            end

            if ARGV[10] == '1' then
                local next = fetch(now, token, ARGV[11], ARGV[12])
                if next[1] ~= 'none' then return {0, next} end
            end
            if redis.call('LLEN', wait) + redis.call('LLEN', active) + redis.call('ZCARD', prioritized) == 0 then
                emit('drained')
            end
            return {0}
            """)
}
