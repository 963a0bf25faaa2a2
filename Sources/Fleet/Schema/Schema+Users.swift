import PostgreSQL

extension Schema {
    /// Users and their tokens. A change that can matter to a cached authentication is told on the channels `users`
    /// and `api_tokens`, each time with the user's id: ``Authenticator`` listens.
    static let users = Migration(
        number: 1, name: "users",
        sql: """
            CREATE TABLE users (
                id uuid PRIMARY KEY,
                name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
                email text CHECK (char_length(email) BETWEEN 3 AND 320),
                role text NOT NULL CHECK (role IN ('user', 'admin')),
                tier text NOT NULL CHECK (tier IN ('free', 'pro', 'unlimited')),
                suspended_at timestamptz,
                created_at timestamptz NOT NULL DEFAULT now(),
                updated_at timestamptz NOT NULL DEFAULT now()
            );
            CREATE UNIQUE INDEX users_name ON users (lower(name));
            CREATE UNIQUE INDEX users_email ON users (lower(email));
            CREATE INDEX users_admins ON users (created_at) WHERE role = 'admin';

            CREATE TABLE user_quotas (
                user_id uuid PRIMARY KEY REFERENCES users,
                environments integer CHECK (environments >= 0),
                running_environments integer CHECK (running_environments >= 0),
                vcpus integer CHECK (vcpus >= 0),
                memory_mb integer CHECK (memory_mb >= 0),
                disk_mb integer CHECK (disk_mb >= 0),
                runtime_hours integer CHECK (runtime_hours >= 0),
                updated_at timestamptz NOT NULL DEFAULT now()
            );
            COMMENT ON TABLE user_quotas IS 'What one user may have instead of what the tier says; NULL: the tier''s';

            CREATE TABLE api_tokens (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
                token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
                scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['user', 'admin']),
                created_at timestamptz NOT NULL DEFAULT now(),
                expires_at timestamptz,
                revoked_at timestamptz,
                last_used_at timestamptz
            );
            CREATE INDEX api_tokens_user ON api_tokens (user_id, created_at);
            COMMENT ON COLUMN api_tokens.token_hash IS 'SHA-256 of the token; the token itself is kept nowhere';

            CREATE FUNCTION notify_user_changed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('users', OLD.id::text);
                RETURN NULL;
            END $$;
            CREATE TRIGGER users_changed AFTER UPDATE OF role, tier, suspended_at OR DELETE ON users
                FOR EACH ROW EXECUTE FUNCTION notify_user_changed();

            CREATE FUNCTION notify_api_token_changed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('api_tokens', OLD.user_id::text);
                RETURN NULL;
            END $$;
            CREATE TRIGGER api_tokens_changed AFTER UPDATE OF scopes, expires_at, revoked_at OR DELETE ON api_tokens
                FOR EACH ROW EXECUTE FUNCTION notify_api_token_changed();
            """)
}
