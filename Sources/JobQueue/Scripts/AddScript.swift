import Redis

extension Lua {
    /// Adds a job (section 4.1) and returns its id. Arguments: custom id or empty, name, data, opts, timestamp, delay,
    /// priority, `1` for lifo. A queue with schedulers answers -100.
    static let add = script(
        "add", enqueue,
        body: """
            local custom, name, data, opts = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
            if redis.call('EXISTS', base .. 'repeat') == 1 then return -100 end
            local id = digits(redis.call('INCR', base .. 'id'))
            if custom ~= '' then
                id = custom
                eventCap()
                if redis.call('EXISTS', base .. id) == 1 then
                    emitCapped('duplicated', 'jobId', id)
                    return id
                end
            end
            -- Python clients accept numbers as custom ids: step over them.
            while redis.call('EXISTS', base .. id) == 1 do id = digits(redis.call('INCR', base .. 'id')) end
            eventCap()
            addJob(id, name, data, opts, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1')
            return id
            """)
}
