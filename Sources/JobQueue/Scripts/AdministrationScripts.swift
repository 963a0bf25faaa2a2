import Redis

extension Lua {
    /// Jobs that one call of a script below touches at most.
    static let batch = 1_000

    /// Section 4.9, "remove". Arguments: id. Returns 1, 0 if a worker holds it, or a refusal.
    static let remove = script(
        "remove", erase,
        body: """
            local id = ARGV[1]
            local job = base .. id
            if redis.call('EXISTS', base .. 'repeat') == 1 and redis.call('HEXISTS', job, 'rjk') == 1 then return -8 end
            if anyChild({id}) or redis.call('EXISTS', job .. ':dependencies') == 1 then return -101 end
            if redis.call('EXISTS', job .. ':lock') == 1 then return 0 end
            local found
            for _, set in ipairs({'completed', 'waiting-children', 'delayed', 'failed', 'prioritized'}) do
                if not found and redis.call('ZREM', base .. set, id) == 1 then found = set end
            end
            for _, list in ipairs({'wait', 'paused', 'active'}) do
                if not found and redis.call('LREM', base .. list, 0, id) > 0 then found = list end
            end
            local existed = redis.call('EXISTS', job) == 1
            discard(id)
            if existed then emitCapped('removed', 'jobId', id, 'prev', found or 'unknown') end
            return 1
            """)

    /// Section 4.9, "retry finished" and "retry many": into `wait`, as in BullMQ 5 without regard to priority.
    private static let again = """
        local function again(id, state, reset)
            local job = base .. id
            redis.call('HDEL', job, 'finishedOn', 'processedOn', state == 'failed' and 'failedReason' or 'returnvalue')
            if reset then redis.call('HDEL', job, 'atm', 'ats') end
            local list, blocked = target()
            local decoded, options = pcall(cjson.decode, redis.call('HGET', job, 'opts') or '{}')
            local lifo = decoded and type(options) == 'table' and options.lifo == true
            redis.call(lifo and 'RPUSH' or 'LPUSH', list, id)
            markWork(blocked)
            emitCapped('waiting', 'jobId', id, 'prev', state)
        end
        """

    /// Puts a finished job back into the queue. Arguments: id, `1` to forget its attempts. Returns 1 or a refusal.
    static let retryFinished = script(
        "retry-finished", again,
        body: """
            local id = ARGV[1]
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            local state = redis.call('ZSCORE', base .. 'failed', id) and 'failed' or 'completed'
            if redis.call('ZREM', base .. state, id) == 0 then return -3 end
            again(id, state, ARGV[2] == '1')
            return 1
            """)

    /// Puts finished jobs back, the oldest first. Arguments: `failed` or `completed`, latest end (ms), how many at most,
    /// `1` to forget their attempts. Returns how many, and how many ids were looked at.
    static let retryMany = script(
        "retry-many", again,
        body: """
            local state, moved = ARGV[1], 0
            local ids = redis.call('ZRANGEBYSCORE', base .. state, '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
            for _, id in ipairs(ids) do
                redis.call('ZREM', base .. state, id)
                if redis.call('EXISTS', base .. id) == 1 then
                    again(id, state, ARGV[4] == '1')
                    moved = moved + 1
                end
            end
            return {moved, #ids}
            """)

    /// Section 4.9, "promote one": a delayed job runs as soon as it can.
    private static let promoteNow = """
        local function promoteNow(id)
            local list, blocked = target()
            addWaiting(id, tonumber(redis.call('HGET', base .. id, 'priority') or '0'), 'LPUSH', list, blocked)
            redis.call('HSET', base .. id, 'delay', 0)
            emit('waiting', 'jobId', id, 'prev', 'delayed')
        end
        """

    /// Arguments: id. Returns 0 or a refusal.
    static let promote = script(
        "promote", enqueue, promoteNow,
        body: """
            local id = ARGV[1]
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            if redis.call('ZREM', delayed, id) == 0 then return -3 end
            promoteNow(id)
            return 0
            """)

    /// Promotes delayed jobs, the next to run first. Arguments: how many at most. Returns as ``retryMany`` does.
    static let promoteMany = script(
        "promote-many", enqueue, promoteNow,
        body: """
            local moved = 0
            local ids = redis.call('ZRANGE', delayed, 0, tonumber(ARGV[1]) - 1)
            for _, id in ipairs(ids) do
                redis.call('ZREM', delayed, id)
                if redis.call('EXISTS', base .. id) == 1 then
                    promoteNow(id)
                    moved = moved + 1
                end
            end
            return {moved, #ids}
            """)

    /// Section 4.10, "drain". Arguments: `1` for delayed jobs too, how many at most. Returns how many were removed, or a
    /// refusal.
    static let drain = script(
        "drain", erase,
        body: """
            local foreign = unsupported()
            if foreign ~= 0 then return foreign end
            local most = tonumber(ARGV[2])
            local columns = {wait, paused, prioritized}
            if ARGV[1] == '1' then columns[4] = delayed end
            for _, column in ipairs(columns) do
                local isList = column == wait or column == paused
                local ids = redis.call(isList and 'LRANGE' or 'ZRANGE', column, 0, most - 1)
                if anyChild(ids) then return -101 end
                if #ids > 0 then
                    for _, id in ipairs(ids) do discard(id) end
                    if isList then redis.call('LTRIM', column, #ids, -1) else redis.call('ZREM', column, unpack(ids)) end
                    return #ids
                end
            end
            return 0
            """)

    /// Section 4.10, "clean". Looks at a window of a column, the oldest end first. Arguments: suffix of the column's key,
    /// latest time (ms) of a job to be removed, how many to pass over, how many to look at, how many to remove at most.
    /// Returns how many of those looked at were left, how many were looked at, and the removed ids; or a refusal.
    static let clean = script(
        "clean", erase,
        body: """
            local foreign = unsupported()
            if foreign ~= 0 then return foreign end
            local kind, before = ARGV[1], tonumber(ARGV[2])
            local first, size, most = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
            local column = base .. kind
            local isList = kind == 'wait' or kind == 'paused' or kind == 'active'
            local isFinished = kind == 'completed' or kind == 'failed'
            local ids
            if isList then
                ids = redis.call('LRANGE', column, -(first + size), -(first + 1))
            elseif isFinished then
                ids = redis.call('ZRANGEBYSCORE', column, '-inf', ARGV[2], 'LIMIT', first, size)
            else
                ids = redis.call('ZRANGE', column, first, first + size - 1)
            end
            if anyChild(ids) then return -101 end
            local removed = {}
            for at = 1, #ids do
                local id = ids[isList and #ids + 1 - at or at]
                local times = redis.call('HMGET', base .. id, 'processedOn', 'timestamp')
                local isOld = isFinished or (tonumber(times[1] or times[2] or '0') or 0) <= before
                if kind == 'active' and redis.call('EXISTS', base .. id .. ':lock') == 1 then isOld = false end
                if isOld and #removed < most then
                    if isList then redis.call('LREM', column, -1, id) else redis.call('ZREM', column, id) end
                    discard(id)
                    removed[#removed + 1] = id
                end
            end
            if #removed > 0 then emit('cleaned', 'count', #removed) end
            return {#ids - #removed, #ids, removed}
            """)

    /// Section 4.10, "obliterate", a batch of it; both of the lists that may hold waiting jobs, and the rate limit too.
    /// Arguments: `1` although jobs are active, how many jobs at most. Returns 1 while there is more, 0 when nothing is
    /// left, -1 if the queue is not paused, -2 if jobs are active, or a refusal.
    static let obliterate = script(
        "obliterate", erase,
        body: """
            local foreign = unsupported()
            if foreign ~= 0 then return foreign end
            if redis.call('HEXISTS', meta, 'paused') == 0 then return -1 end
            if ARGV[1] ~= '1' and redis.call('LLEN', active) > 0 then return -2 end
            for _, column in ipairs({'active', 'wait', 'paused', 'prioritized', 'delayed', 'completed', 'failed'}) do
                local isList = column == 'active' or column == 'wait' or column == 'paused'
                local ids = redis.call(isList and 'LRANGE' or 'ZRANGE', base .. column, 0, tonumber(ARGV[2]) - 1)
                if anyChild(ids) then return -101 end
                if #ids > 0 then
                    for _, id in ipairs(ids) do
                        redis.call('DEL', base .. id .. ':lock')
                        discard(id)
                    end
                    if isList then
                        redis.call('LTRIM', base .. column, #ids, -1)
                    else
                        redis.call('ZREM', base .. column, unpack(ids))
                    end
                    return 1
                end
            end
            redis.call('DEL', events, meta, marker, base .. 'id', base .. 'pc', base .. 'limiter', base .. 'stalled',
                base .. 'stalled-check', base .. 'metrics:completed', base .. 'metrics:completed:data',
                base .. 'metrics:failed', base .. 'metrics:failed:data')
            return 0
            """)
}
