import PostgreSQL

extension Schema {
    /// The history of runs. Code and output are `bytea`: they may hold NUL and anything that is not UTF-8.
    static let executions = Migration(
        number: 3, name: "executions",
        sql: """
            CREATE TABLE environment_executions (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                environment_id uuid NOT NULL REFERENCES dev_environments,
                gateway_id text NOT NULL CHECK (gateway_id <> ''),
                request_id text,
                state text NOT NULL CHECK (state IN ('running', 'exited', 'signaled', 'timeout', 'memory', 'processes',
                    'output_limit', 'cancelled', 'failed', 'lost')),
                language text NOT NULL,
                code bytea NOT NULL CHECK (octet_length(code) <= 65536),
                code_bytes bigint NOT NULL CHECK (code_bytes >= octet_length(code)),
                stdout bytea CHECK (octet_length(stdout) <= 65536),
                stderr bytea CHECK (octet_length(stderr) <= 65536),
                stdout_bytes bigint,
                stderr_bytes bigint,
                exit_code integer,
                signal text,
                duration_ms double precision,
                cpu_ms double precision,
                max_rss_bytes bigint,
                truncated boolean,
                error_code text,
                error_message text,
                started_at timestamptz NOT NULL DEFAULT now(),
                finished_at timestamptz,
                CONSTRAINT environment_executions_ended CHECK ((state = 'running') = (finished_at IS NULL))
            );
            CREATE INDEX environment_executions_user ON environment_executions (user_id, started_at DESC, id DESC);
            CREATE INDEX environment_executions_environment
                ON environment_executions (environment_id, started_at DESC, id DESC);
            CREATE INDEX environment_executions_running ON environment_executions (environment_id, started_at)
                WHERE state = 'running';
            """)

    /// Where VMs are made of and on: images, and hosts that run an agent.
    static let hosts = Migration(
        number: 4, name: "hosts",
        sql: """
            CREATE TABLE firecracker_hosts (
                id uuid PRIMARY KEY,
                name text NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 100),
                address text NOT NULL,
                state text NOT NULL CHECK (state IN ('ready', 'cordoned', 'draining', 'maintenance', 'lost')),
                vcpus integer NOT NULL CHECK (vcpus > 0),
                memory_mb integer NOT NULL CHECK (memory_mb > 0),
                disk_mb integer NOT NULL CHECK (disk_mb > 0),
                used_vcpus integer NOT NULL DEFAULT 0 CHECK (used_vcpus >= 0),
                used_memory_mb integer NOT NULL DEFAULT 0 CHECK (used_memory_mb >= 0),
                used_disk_mb integer NOT NULL DEFAULT 0 CHECK (used_disk_mb >= 0),
                last_seen_at timestamptz,
                created_at timestamptz NOT NULL DEFAULT now(),
                updated_at timestamptz NOT NULL DEFAULT now()
            );
            ALTER TABLE dev_environments ADD COLUMN host_id uuid REFERENCES firecracker_hosts;
            CREATE INDEX dev_environments_host ON dev_environments (host_id) WHERE host_id IS NOT NULL;

            CREATE TABLE vm_images (
                id uuid PRIMARY KEY,
                provider text NOT NULL CHECK (provider <> ''),
                name text NOT NULL,
                reference text NOT NULL,
                digest text,
                runtimes text[] NOT NULL DEFAULT '{}',
                is_default boolean NOT NULL DEFAULT false,
                created_at timestamptz NOT NULL DEFAULT now(),
                UNIQUE (provider, name)
            );
            CREATE UNIQUE INDEX vm_images_default ON vm_images (provider) WHERE is_default;
            """)
}
