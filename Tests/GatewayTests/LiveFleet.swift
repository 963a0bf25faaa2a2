import Cryptography
import Execution
import Fleet
import Foundation
import Logging
import PostgreSQL
import Redis
import TestSupport

private let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Lends a fleet over a database and queues of the test's own; `prefix` is a name that nobody else has.
func withFleet(_ body: (_ fleet: Fleet, _ prefix: String) async throws -> Void) async throws {
    try await LivePostgres.withDatabase { database in
        _ = try await Migrator(pool: database, migrations: Fleet.migrations).run()
        let redis = try RedisClient(url: LiveRedis.url, logger: silent)
        let prefix = "test-\(UUID().uuidString)"
        let fleet = Fleet(
            database: database, redis: redis, secrets: try SecretBox(key: Array(repeating: 7, count: 32)),
            configuration: FleetConfiguration(queuePrefix: prefix), logger: silent)
        do {
            try await body(fleet, prefix)
            await redis.close()
        } catch {
            await redis.close()
            throw error
        }
    }
}

/// One with the runtimes of this repository.
func executionService(_ fleet: Fleet, _ configuration: ExecutionConfiguration) throws -> ExecutionService {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    return ExecutionService(
        fleet: fleet, runtimes: try RuntimeCatalog(directory: root.appending(path: "runtimes").path),
        configuration: configuration, logger: silent)
}
