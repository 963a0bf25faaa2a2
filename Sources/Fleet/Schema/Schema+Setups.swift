import PostgreSQL

extension Schema {
    /// Setups that any worker can take up where another left them.
    static let setups = Migration(
        number: 7, name: "setups",
        sql: """
            ALTER TABLE dev_environments ADD COLUMN setup_due_at timestamptz, ADD COLUMN setup_claim uuid;
            COMMENT ON COLUMN dev_environments.setup_due_at IS
                'From when on a worker may take its setup up; NULL: there is nothing to do in this run';
            COMMENT ON COLUMN dev_environments.setup_claim IS 'Whoever is at it, and puts the time above off';
            CREATE INDEX dev_environments_setup_due ON dev_environments (setup_due_at) WHERE setup_due_at IS NOT NULL;
            """)
}
