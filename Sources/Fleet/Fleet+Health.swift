import EventLoop
import PostgreSQL
import Redis

extension Fleet {
    /// Which of the two servers do not answer within 2 s, by name, and why in words that anybody may read; empty when
    /// all is well.
    package func unreachable() async -> [String: String] {
        async let postgreSQL = Self.fault { [database] in _ = try await database.query("SELECT 1") }
        async let redis = Self.fault { [redis] in try await redis.command("PING") }
        var faults: [String: String] = [:]
        faults["postgresql"] = await postgreSQL
        faults["redis"] = await redis
        return faults
    }

    private static func fault(_ probe: @escaping @Sendable () async throws -> Void) async -> String? {
        do {
            try await withDeadline(.seconds(2), "answer", probe)
            return nil
        } catch is DeadlineExceeded {
            return "does not answer"
        } catch {
            return "cannot be reached"
        }
    }
}
