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

    /// Section 4.9, "remove". Arguments: id. Returns 1, 0 if a worker holds it, -8 if it may be a scheduler's.
    static let remove = script(
        "remove", erase,
        body: """
            local id = ARGV[1]
            local job = base .. id
            if redis.call('EXISTS', base .. 'repeat') == 1 and redis.call('HEXISTS', job, 'rjk') == 1 then return -8 end
            if redis.call('EXISTS', job .. ':lock') == 1 then return 0 end
            local found
            for _, set in ipairs({'completed', 'waiting-children', 'delayed', 'failed', 'prioritized'}) do
                if not found and redis.call('ZREM', base .. set, id) == 1 then found = set end
            end
            for _, list in ipairs({'wait', 'paused', 'active'}) do
                if not found and redis.call('LREM', base .. list, 0, id) > 0 then found = list end
            end
            local name = redis.call('HGET', job, 'deid')
            if name and redis.call('GET', base .. 'de:' .. name) == id then
                redis.call('DEL', base .. 'de:' .. name, base .. 'dn:' .. name)
            end
            local existed = redis.call('EXISTS', job) == 1
            erase(id)
            if existed then emitCapped('removed', 'jobId', id, 'prev', found or 'unknown') end
            return 1
            """)

    /// Section 4.11, "state": the first that holds the id.
    static let state = script(
        "state",
        body: """
            local id = ARGV[1]
            for _, set in ipairs({'completed', 'failed', 'delayed', 'prioritized'}) do
                if redis.call('ZSCORE', base .. set, id) then return set end
            end
            if redis.call('LPOS', active, id) then return 'active' end
            if redis.call('LPOS', wait, id) or redis.call('LPOS', paused, id) then return 'waiting' end
            if redis.call('ZSCORE', base .. 'waiting-children', id) then return 'waiting-children' end
            return 'unknown'
            """)

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
