import Redis

/// Pieces of the scripts. They work on the layout of BullMQ 5 as the project's sheet describes it ("BullMQ v5 on
/// Redis"), section by section; none of its text is BullMQ's.
///
/// Rules for all of them: `KEYS[1]` is the queue's key up to and with its last colon, and the keys of the queue are
/// made from it (so a cluster needs a hash tag in the prefix); times are milliseconds of the caller's clock; every
/// check comes before the first write, so that a script does all of its work or none; a negative number is refusal
/// (section 8). Needs Redis 6.2.
enum Lua {
    static func script(_ name: String, _ pieces: String..., body: String) -> RedisScript {
        RedisScript(name, ([base] + pieces + [body]).joined(separator: "\n"))
    }

    /// Section 3 (events), 4.0 (target list, markers), and numbers written without exponent (section 9 #11).
    static let base = """
        local base = KEYS[1]
        local events, meta, marker = base .. 'events', base .. 'meta', base .. 'marker'
        local wait, paused, active = base .. 'wait', base .. 'paused', base .. 'active'
        local prioritized, delayed = base .. 'prioritized', base .. 'delayed'

        local function digits(number) return string.format('%.0f', number) end

        local function emit(...) redis.call('XADD', events, '*', 'event', ...) end

        -- What is set for the queue, read once: paused, concurrency, max, duration, and the approximate cap of the stream,
        -- which is stored with its default where it is not set.
        local known
        local function settings()
            if known then return known end
            known = redis.call('HMGET', meta, 'paused', 'concurrency', 'max', 'duration', 'opts.maxLenEvents')
            if not known[5] then
                known[5] = '10000'
                redis.call('HSET', meta, 'opts.maxLenEvents', known[5])
            end
            return known
        end

        local function emitCapped(...) redis.call('XADD', events, 'MAXLEN', '~', settings()[5], '*', 'event', ...) end

        local function trimEvents() redis.call('XTRIM', events, 'MAXLEN', '~', settings()[5]) end

        -- Where waiting jobs go, and whether none may be taken now.
        local function target()
            if settings()[1] then return paused, true end
            local most = settings()[2] and tonumber(settings()[2])
            return wait, most and redis.call('LLEN', active) >= most or false
        end

        local function markWork(blocked)
            if not blocked then redis.call('ZADD', marker, 0, '0') end
        end

        local function nextRunAt()
            local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
            if first[2] then return tonumber(first[2]) / 4096 end
        end

        local function markDelay()
            local at = nextRunAt()
            if at then redis.call('ZADD', marker, string.format('%.17g', at), '1') end
        end

        -- Schedulers want their next run made by whoever takes the present one (section 9 #6), flows their parents told
        -- (4.4 #9). This program does neither, so it keeps off queues that have them: -100, -101, or 0.
        local function unsupported()
            if redis.call('EXISTS', base .. 'repeat', base .. 'waiting-children') == 0 then return 0 end
            return redis.call('EXISTS', base .. 'repeat') == 1 and -100 or -101
        end
        """

    /// Section 4.0 (scores), 4.1 #6-10 (storing a job and putting it in its column).
    static let enqueue = """
        local function addDelayed(id, runAt)
            local low, high = runAt * 4096, runAt * 4096 + 4095
            local last = redis.call('ZREVRANGEBYSCORE', delayed, digits(high), digits(low), 'WITHSCORES', 'LIMIT', 0, 1)
            local score = low
            if last[2] then score = math.min(tonumber(last[2]) + 1, high) end
            redis.call('ZADD', delayed, digits(score), id)
        end

        local function addPrioritized(id, priority)
            local turn = redis.call('INCR', base .. 'pc') % 4294967296
            redis.call('ZADD', prioritized, digits(priority * 4294967296 + turn), id)
        end

        -- Into wait, paused or prioritized. `side` is LPUSH for the back of the queue, RPUSH for the front.
        local function addWaiting(id, priority, side, list, blocked)
            if priority > 0 then addPrioritized(id, priority) else redis.call(side, list, id) end
            markWork(blocked)
        end

        -- A job nobody knows yet: hash, events, column.
        local function addJob(id, name, data, opts, timestamp, delay, priority, lifo, ...)
            redis.call('HSET', base .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', digits(timestamp),
                'delay', digits(delay), 'priority', digits(priority), ...)
            emit('added', 'jobId', id, 'name', name)
            if delay > 0 then
                addDelayed(id, timestamp + delay)
                emitCapped('delayed', 'jobId', id, 'delay', digits(timestamp + delay))
                markDelay()
            else
                local list, blocked = target()
                addWaiting(id, priority, lifo and 'RPUSH' or 'LPUSH', list, blocked)
                emitCapped('waiting', 'jobId', id)
            end
        end
        """

    /// Section 4.2: promotion of due delayed jobs and the fetch. The answer is `{'job', id, fields}`,
    /// `{'limited', ms}`, `{'blocked'}`, `{'scheduled', ms}` (nothing but a delayed job), `{'none'}`, or
    /// `{'unsupported', refusal}` for what ``base`` calls so.
    static let fetch = """
        local function promote(now, list, blocked)
            local due = redis.call('ZRANGEBYSCORE', delayed, 0, digits((now + 1) * 4096 - 1), 'LIMIT', 0, 1000)
            if #due == 0 then return end
            redis.call('ZREM', delayed, unpack(due))
            for _, id in ipairs(due) do
                local priority = redis.call('HGET', base .. id, 'priority')
                -- A job without a hash was removed by hand: writing `delay` would raise its ghost (section 9 #9).
                if redis.call('EXISTS', base .. id) == 1 then
                    addWaiting(id, priority and tonumber(priority) or 0, 'LPUSH', list, true)
                    emit('waiting', 'jobId', id, 'prev', 'delayed')
                    redis.call('HSET', base .. id, 'delay', 0)
                end
            end
            markWork(blocked)
        end

        -- The next id, moved to active: wait before prioritized. Ids without a hash are dropped.
        local function take()
            for _ = 1, 1000 do
                local id = redis.call('RPOPLPUSH', wait, active)
                if not id then
                    id = redis.call('ZPOPMIN', prioritized)[1]
                    if not id then
                        redis.call('DEL', base .. 'pc')
                        return nil
                    end
                    redis.call('LPUSH', active, id)
                end
                if redis.call('EXISTS', base .. id) == 1 then return id end
                redis.call('LREM', active, 1, id)
            end
        end

        -- Milliseconds for which a rate limit forbids to take a job, and its window: the queue's own count before the
        -- worker's, the worker's window before the queue's (section 6).
        local function rateLimit(most, window)
            most = tonumber(settings()[3] or most)
            window = tonumber(window) or tonumber(settings()[4] or '')
            if not most or not window then return 0, nil end
            local taken = tonumber(redis.call('GET', base .. 'limiter') or '0')
            if taken < most then return 0, window end
            -- In the last of its milliseconds it limits no more, and must not count into the next window either.
            local left = redis.call('PTTL', base .. 'limiter')
            if left == 0 then redis.call('DEL', base .. 'limiter') end
            return math.max(0, left), window
        end

        -- `most` and `window` are the worker's rate limit, or empty.
        local function fetch(now, token, lockDuration, worker, most, window)
            local foreign = unsupported()
            if foreign ~= 0 then return {'unsupported', foreign} end
            local list, blocked = target()
            promote(now, list, blocked)
            local limited
            limited, window = rateLimit(most, window)
            if limited > 0 then return {'limited', limited} end
            if blocked then return {'blocked'} end
            local id = take()
            if not id then
                local at = nextRunAt()
                if at then return {'scheduled', digits(math.ceil(at))} end
                return {'none'}
            end
            if window and redis.call('INCR', base .. 'limiter') == 1 then
                redis.call('PEXPIRE', base .. 'limiter', window)
            end
            redis.call('SET', base .. id .. ':lock', token, 'PX', lockDuration)
            emit('active', 'jobId', id, 'prev', 'waiting')
            redis.call('HSET', base .. id, 'processedOn', digits(now), 'pb', worker)
            redis.call('HINCRBY', base .. id, 'ats', 1)
            redis.call('ZADD', marker, 0, '0')
            return {'job', id, redis.call('HGETALL', base .. id)}
        end
        """

    /// Section 4.0 (lock check) and what ends an attempt: refusal, or nothing and the job is ours alone and no longer
    /// active. Leaving `active` is the last check and the first write in one.
    static let leave = """
        local function leaveActive(id, token)
            if redis.call('EXISTS', base .. id) == 0 then return -1 end
            local held = redis.call('GET', base .. id .. ':lock')
            if not held then return -2 end
            if held ~= token then return -6 end
            if redis.call('LREM', active, -1, id) == 0 then return -3 end
            redis.call('DEL', base .. id .. ':lock')
            redis.call('SREM', base .. 'stalled', id)
            return 0
        end
        """

    /// All a job has but its lock (section 1), and its deduplication id.
    static let erase = """
        local function erase(id)
            local job = base .. id
            redis.call('DEL', job, job .. ':logs', job .. ':dependencies', job .. ':processed', job .. ':failed',
                job .. ':unsuccessful')
        end

        -- Removes a job before its end, and with it what it kept others from (section 4.9, "remove").
        local function discard(id)
            local name = redis.call('HGET', base .. id, 'deid')
            if name and redis.call('GET', base .. 'de:' .. name) == id then
                redis.call('DEL', base .. 'de:' .. name, base .. 'dn:' .. name)
            end
            erase(id)
        end

        -- Whether one of these is a child of a flow, whose parent would wait for it for ever.
        local function anyChild(ids)
            for _, id in ipairs(ids) do
                if redis.call('HEXISTS', base .. id, 'parentKey') == 1 then return true end
            end
            return false
        end
        """
}
