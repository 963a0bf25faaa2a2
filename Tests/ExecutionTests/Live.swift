import Logging
import Redis
import TestSupport
import Testing

/// Against a real Redis and a real PostgreSQL.
@Suite(LiveRedis()) enum Live {}

let quiet: Logger = {
    var logger = Logger(label: "martlet.execution.test")
    logger.logLevel = .critical
    return logger
}()

func withRedis(_ body: (RedisClient) async throws -> Void) async throws {
    let redis = try RedisClient(url: LiveRedis.url, logger: quiet)
    do {
        try await body(redis)
        await redis.close()
    } catch {
        await redis.close()
        throw error
    }
}
