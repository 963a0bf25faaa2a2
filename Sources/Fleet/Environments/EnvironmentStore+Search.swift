import Foundation
import PostgreSQL

extension EnvironmentStore {
    /// The environments of everybody, newest first, at most 500; `after` continues after the last of a page.
    package func search(
        _ filter: EnvironmentFilter = EnvironmentFilter(), limit: Int = 100, after: EnvironmentID? = nil
    ) async throws -> [Environment] {
        let rest: SQL =
            if let after {
                "AND (created_at, id) < (SELECT created_at, id FROM dev_environments WHERE id = \(after))"
            } else {
                ""
            }
        return try await ServiceError.translating("Environments not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM dev_environments WHERE true \(filter.conditions) \(rest)
                ORDER BY created_at DESC, id DESC LIMIT \(Self.page(limit))
                """
            ).map(Environment.init)
        }
    }
}
