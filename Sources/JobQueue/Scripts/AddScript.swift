import Redis

extension Lua {
    /// Words that ``add`` takes for each job.
    static let wordsPerJob = 11

    /// Adds jobs in order, all or none (section 4.1), and returns their ids. Arguments, for each: custom id or empty,
    /// name, data, opts, timestamp, delay, priority, `1` for lifo, deduplication id or empty, its expiry or 0, its flags.
    /// A queue this program keeps off answers with the refusal.
    static let add = script(
        "add", enqueue, erase, deduplication,
        body: """
            local refusal = unsupported()
            if refusal ~= 0 then return refusal end
            local ids = {}
            for at = 1, #ARGV, \(wordsPerJob) do
                local custom, name, data, opts = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
                local unique = ARGV[at + 8]
                local id, known = digits(redis.call('INCR', base .. 'id')), false
                settings()
                if custom ~= '' then
                    id, known = custom, redis.call('EXISTS', base .. custom) == 1
                else
                    -- Python clients accept numbers as custom ids: step over them.
                    while redis.call('EXISTS', base .. id) == 1 do id = digits(redis.call('INCR', base .. 'id')) end
                end
                local owner
                if known then
                    emitCapped('duplicated', 'jobId', id)
                elseif unique ~= '' then
                    owner = deduplicate(id, unique, tonumber(ARGV[at + 9]), ARGV[at + 10], name, data, opts)
                end
                if not known and not owner then
                    local timestamp, delay, priority = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
                    if unique ~= '' then
                        addJob(id, name, data, opts, timestamp, delay, priority, ARGV[at + 7] == '1', 'deid', unique)
                    else
                        addJob(id, name, data, opts, timestamp, delay, priority, ARGV[at + 7] == '1')
                    end
                end
                ids[#ids + 1] = owner or id
            end
            return ids
            """)

    /// Whether this program may work on the queue: 0, or the refusal. Looks for flows' children among those next to run.
    static let attach = script(
        "attach", erase,
        body: """
            local refusal = unsupported()
            if refusal ~= 0 then return refusal end
            for _, list in ipairs({wait, paused}) do
                if anyChild(redis.call('LRANGE', list, -50, -1)) then return -101 end
            end
            for _, set in ipairs({prioritized, delayed}) do
                if anyChild(redis.call('ZRANGE', set, 0, 49)) then return -101 end
            end
            return 0
            """)
}
