import PostgreSQL

extension Schema {
    /// Environments, what was done to them, and the jobs that must follow. The states are those of
    /// ``EnvironmentState``; `secrets` is sealed, everything else may be shown to the owner.
    static let environments = Migration(
        number: 2, name: "environments",
        sql: """
            CREATE TABLE dev_environments (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                kind text NOT NULL CHECK (kind IN ('user_vm', 'environment')),
                slug text NOT NULL CONSTRAINT dev_environments_slug UNIQUE CHECK (slug ~ '^env_[0-9a-z]{8}$'),
                name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
                state text NOT NULL CHECK (state IN ('requested', 'provisioning', 'starting', 'running', 'stopping',
                    'stopped', 'destroying', 'destroyed', 'error')),
                generation integer NOT NULL CHECK (generation > 0),
                tier text NOT NULL CHECK (tier IN ('free', 'pro', 'unlimited')),
                vcpus integer NOT NULL CHECK (vcpus > 0),
                memory_mb integer NOT NULL CHECK (memory_mb > 0),
                disk_mb integer NOT NULL CHECK (disk_mb > 0),
                processes integer NOT NULL CHECK (processes > 0),
                network boolean NOT NULL,
                provider text NOT NULL CHECK (provider <> ''),
                provider_instance_id text CHECK (provider_instance_id <> ''),
                host text,
                ssh_port integer CHECK (ssh_port BETWEEN 1 AND 65535),
                ssh_user text,
                runner_port integer CHECK (runner_port BETWEEN 1 AND 65535),
                client_public_key text,
                secrets bytea,
                error_message text,
                runtime_ms bigint NOT NULL DEFAULT 0 CHECK (runtime_ms >= 0),
                running_since timestamptz,
                last_started_at timestamptz,
                last_stopped_at timestamptz,
                last_activity_at timestamptz,
                state_changed_at timestamptz NOT NULL DEFAULT now(),
                expires_at timestamptz,
                created_at timestamptz NOT NULL DEFAULT now(),
                updated_at timestamptz NOT NULL DEFAULT now(),
                CONSTRAINT dev_environments_endpoint CHECK (
                    num_nonnulls(host, ssh_port, ssh_user, runner_port) IN (0, 4))
            );
            CREATE INDEX dev_environments_user ON dev_environments (user_id, created_at, id)
                WHERE state <> 'destroyed';
            CREATE INDEX dev_environments_state ON dev_environments (state, id);
            CREATE INDEX dev_environments_instance ON dev_environments (provider, provider_instance_id)
                WHERE provider_instance_id IS NOT NULL;
            COMMENT ON COLUMN dev_environments.secrets IS
                'AES-256-GCM of the keys and the runner''s secret; authenticated with the row''s id';

            -- A user's own VM: at most one that is not destroyed, whoever asks for it and how often.
            CREATE TABLE user_vms (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                environment_id uuid NOT NULL UNIQUE REFERENCES dev_environments,
                created_at timestamptz NOT NULL DEFAULT now(),
                destroyed_at timestamptz
            );
            CREATE UNIQUE INDEX user_vms_living ON user_vms (user_id) WHERE destroyed_at IS NULL;

            CREATE TABLE environment_audit_log (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                environment_id uuid REFERENCES dev_environments,
                user_id uuid REFERENCES users,
                actor_kind text NOT NULL CHECK (actor_kind IN ('user', 'admin', 'worker', 'system')),
                actor_id text NOT NULL,
                action text NOT NULL CHECK (action <> ''),
                from_state text,
                to_state text,
                generation integer,
                request_id text,
                error_code text,
                duration_ms bigint CHECK (duration_ms >= 0),
                detail jsonb NOT NULL DEFAULT '{}',
                created_at timestamptz NOT NULL DEFAULT now()
            );
            CREATE INDEX environment_audit_log_environment ON environment_audit_log (environment_id, id);
            CREATE INDEX environment_audit_log_user ON environment_audit_log (user_id, id);
            COMMENT ON COLUMN environment_audit_log.user_id IS 'Whose environment or account it was done to';
            COMMENT ON COLUMN environment_audit_log.error_code IS 'NULL: it was done';

            CREATE TABLE job_outbox (
                id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                queue text NOT NULL,
                name text NOT NULL,
                job_id text NOT NULL UNIQUE,
                data text NOT NULL,
                attempts integer NOT NULL CHECK (attempts > 0),
                backoff_ms integer NOT NULL CHECK (backoff_ms > 0),
                created_at timestamptz NOT NULL DEFAULT now()
            );
            COMMENT ON TABLE job_outbox IS 'Jobs committed and not yet known to be in Redis; a row goes when its job is';
            CREATE FUNCTION notify_job_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('job_outbox', '');
                RETURN NULL;
            END $$;
            CREATE TRIGGER job_outbox_filled AFTER INSERT ON job_outbox
                FOR EACH STATEMENT EXECUTE FUNCTION notify_job_outbox();
            """)
}
