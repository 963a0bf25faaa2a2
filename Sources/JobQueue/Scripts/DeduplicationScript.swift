extension Lua {
    /// Section 4.12. Needs ``erase`` and ``enqueue``.
    static let deduplication = """
        local function tellDuplicate(kept, name, refused)
            emitCapped('debounced', 'jobId', kept, 'debounceId', name)
            emitCapped('deduplicated', 'jobId', kept, 'deduplicationId', name, 'deduplicatedJobId', refused)
        end

        local function own(name, id, expiry)
            if expiry > 0 then
                redis.call('SET', base .. 'de:' .. name, id, 'PX', digits(expiry))
            else
                redis.call('SET', base .. 'de:' .. name, id)
            end
        end

        -- The owner of the name if the job is not to be stored; else nil, and the job owns the name. `flags` holds `e`
        -- to extend the expiry at every attempt, `r` to replace a delayed owner, `k` to keep the last one that came
        -- while the owner was active.
        local function deduplicate(id, name, expiry, flags, job, data, opts)
            local key = base .. 'de:' .. name
            local extend, replace, keepLast = flags:find('e'), flags:find('r'), flags:find('k')
            if keepLast then expiry = 0 end
            local owner = redis.call('GET', key)
            -- A name that does not run out by itself, of a job that is gone: its end was never told.
            if owner and redis.call('PTTL', key) == -1 and redis.call('EXISTS', base .. owner) == 0 then owner = nil end
            if not owner then
                own(name, id, expiry)
                return nil
            end
            if replace and redis.call('ZREM', delayed, owner) == 1 then
                erase(owner)
                emit('removed', 'jobId', owner, 'prev', 'delayed')
                tellDuplicate(id, name, owner)
                if extend or expiry == 0 then own(name, id, expiry) else redis.call('SET', key, id, 'KEEPTTL') end
                return nil
            end
            if keepLast and redis.call('LPOS', active, owner) then
                local pending = base .. 'dn:' .. name
                redis.call('DEL', pending)
                redis.call('HSET', pending, 'name', job, 'data', data, 'opts', opts, 'jid', id)
                redis.call('PERSIST', key)
            elseif extend and expiry > 0 and not replace then
                own(name, owner, expiry)
            end
            tellDuplicate(owner, name, id)
            return owner
        end
        """

    /// What becomes of a finished job's deduplication id (section 4.4 #7, #8).
    static let deduplicationEnd = """
        local function endDeduplication(id, now)
            local name = redis.call('HGET', base .. id, 'deid')
            if not name then return end
            local key, pending = base .. 'de:' .. name, base .. 'dn:' .. name
            if redis.call('GET', key) == id and redis.call('PTTL', key) == -1 then redis.call('DEL', key) end
            -- An add that found this job active left what is to run next.
            local job, data, opts, next = unpack(redis.call('HMGET', pending, 'name', 'data', 'opts', 'jid'))
            if not job then return end
            local counter = digits(redis.call('INCR', base .. 'id'))
            next = next or counter
            local decoded, options = pcall(cjson.decode, opts or '{}')
            if not decoded or type(options) ~= 'table' then options = {} end
            local rule = type(options.de) == 'table' and options.de or {}
            own(name, next, not rule.keepLastIfActive and tonumber(rule.ttl) or 0)
            redis.call('DEL', pending)
            addJob(next, job, data or '{}', opts or '{}', now, tonumber(options.delay) or 0,
                tonumber(options.priority) or 0, options.lifo == true, 'deid', name)
        end
        """
}
