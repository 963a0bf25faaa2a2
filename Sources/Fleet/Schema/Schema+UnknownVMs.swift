import PostgreSQL

extension Schema {
    /// What providers have and no row of `dev_environments` knows.
    static let unknownVMs = Migration(
        number: 6, name: "unknown_vms",
        sql: """
            CREATE TABLE unknown_vms (
                provider text NOT NULL CHECK (provider <> ''),
                external_id text NOT NULL CHECK (external_id <> ''),
                name text NOT NULL,
                first_seen_at timestamptz NOT NULL DEFAULT now(),
                last_seen_at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (provider, external_id)
            );
            COMMENT ON TABLE unknown_vms IS
                'As the last comparison with each provider found them; destroyed only on an admin''s word';
            """)
}
