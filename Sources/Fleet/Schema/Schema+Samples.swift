import PostgreSQL

extension Schema {
    /// What the fleet was like, minute by minute.
    static let samples = Migration(
        number: 10, name: "fleet_samples",
        sql: """
            CREATE TABLE fleet_samples (
                at timestamptz PRIMARY KEY,
                running integer NOT NULL,
                asleep integer NOT NULL,
                moving integer NOT NULL,
                failed integer NOT NULL,
                executions integer NOT NULL,
                executions_failed integer NOT NULL,
                cold_starts integer NOT NULL,
                cold_start_ms double precision,
                jobs_waiting integer NOT NULL,
                jobs_active integer NOT NULL,
                jobs_failed integer NOT NULL
            );
            COMMENT ON TABLE fleet_samples IS
                'A row a minute, kept for a week: counts as they were then, and what began in the minute before';
            """)
}
