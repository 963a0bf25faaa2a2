import PostgreSQL

extension Schema {
    /// What several environments a user need: their setup, their runs, hosts by what is placed on them, an audit log
    /// that can be searched, and answers that can be given again.
    static let fleet = Migration(
        number: 5, name: "fleet",
        sql: """
            ALTER TABLE dev_environments
                ADD COLUMN flavor text CHECK (flavor <> ''),
                ADD COLUMN region text CHECK (region <> ''),
                ADD COLUMN setup bytea,
                ADD COLUMN setup_version integer NOT NULL DEFAULT 1 CHECK (setup_version > 0),
                ADD COLUMN has_init_script boolean NOT NULL DEFAULT false,
                ADD COLUMN variable_names text[] NOT NULL DEFAULT '{}',
                ADD COLUMN repository_url text,
                ADD COLUMN initialized_at timestamptz;
            COMMENT ON COLUMN dev_environments.setup IS
                'AES-256-GCM of variables, init script and repository; authenticated with the row''s id';
            COMMENT ON COLUMN dev_environments.repository_url IS 'Without what may be secret in it: for display';
            COMMENT ON COLUMN dev_environments.initialized_at IS 'When its setup was last carried out to the end';
            CREATE INDEX dev_environments_created ON dev_environments (created_at, id);
            CREATE INDEX dev_environments_expiry ON dev_environments (expires_at)
                WHERE expires_at IS NOT NULL AND state <> 'destroyed';

            -- From 'running' until the machine is known to have stopped: what runtime quotas are counted from.
            CREATE TABLE environment_runs (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                environment_id uuid NOT NULL REFERENCES dev_environments,
                user_id uuid NOT NULL REFERENCES users,
                started_at timestamptz NOT NULL DEFAULT now(),
                stopped_at timestamptz CHECK (stopped_at >= started_at)
            );
            CREATE UNIQUE INDEX environment_runs_open ON environment_runs (environment_id) WHERE stopped_at IS NULL;
            CREATE INDEX environment_runs_user ON environment_runs (user_id, stopped_at);
            CREATE INDEX environment_runs_stopped ON environment_runs (stopped_at);
            INSERT INTO environment_runs (environment_id, user_id, started_at)
                SELECT id, user_id, running_since FROM dev_environments WHERE running_since IS NOT NULL;

            -- What is used of a host is what lives on it: a second count of it could only be wrong.
            ALTER TABLE firecracker_hosts
                DROP COLUMN used_vcpus, DROP COLUMN used_memory_mb, DROP COLUMN used_disk_mb;

            CREATE INDEX environment_audit_log_actor ON environment_audit_log (actor_id, id);
            CREATE INDEX environment_audit_log_action ON environment_audit_log (action text_pattern_ops, id);
            CREATE INDEX environment_audit_log_request ON environment_audit_log (request_id, id)
                WHERE request_id IS NOT NULL;
            CREATE INDEX environment_audit_log_error ON environment_audit_log (error_code, id)
                WHERE error_code IS NOT NULL;
            CREATE INDEX environment_audit_log_created ON environment_audit_log (created_at);
            CREATE INDEX environment_executions_started ON environment_executions (started_at);

            CREATE TABLE idempotency_keys (
                user_id uuid NOT NULL REFERENCES users,
                key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
                fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
                claim uuid NOT NULL,
                claimed_at timestamptz NOT NULL DEFAULT now(),
                status integer CHECK (status BETWEEN 100 AND 599),
                answer bytea,
                expires_at timestamptz NOT NULL,
                PRIMARY KEY (user_id, key),
                CONSTRAINT idempotency_keys_answered CHECK ((status IS NULL) = (answer IS NULL))
            );
            CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
            COMMENT ON COLUMN idempotency_keys.answer IS
                'AES-256-GCM of headers and body, which may hold a token; authenticated with user and key';
            """)
}
