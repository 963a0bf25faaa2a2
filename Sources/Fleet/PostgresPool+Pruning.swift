import PostgreSQL

extension PostgresPool {
    /// Removes the rows that are the oldest by a column which an index has, and older than `age`: at most `limit` of them,
    /// those not that somebody else holds locked. Returns how many.
    ///
    /// By an array: whatever the planner thinks of the table, it looks the rows up one by one.
    func prune(
        _ table: String, by column: String, olderThan age: Duration, where condition: SQL = "true", limit: Int
    ) async throws -> Int {
        try await execute(
            """
            DELETE FROM \(raw: table) WHERE id = ANY(ARRAY(
                SELECT id FROM \(raw: table)
                WHERE \(raw: column) < now() - make_interval(secs => \(age / .seconds(1))::double precision)
                    AND \(condition)
                ORDER BY \(raw: column) LIMIT \(min(max(limit, 1), 10_000)) FOR UPDATE SKIP LOCKED))
            """)
    }
}
