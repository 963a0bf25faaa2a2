import PostgreSQL

extension Schema {
    /// Browsers that have signed in. The end of a session is told on the channel of the tokens, with the user's id, so
    /// that ``Authenticator`` drops what it keeps of them.
    static let webSessions = Migration(
        number: 8, name: "web_sessions",
        sql: """
            CREATE TABLE web_sessions (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                token_id uuid NOT NULL REFERENCES api_tokens,
                session_hash bytea NOT NULL UNIQUE CHECK (octet_length(session_hash) = 32),
                created_at timestamptz NOT NULL DEFAULT now(),
                last_used_at timestamptz NOT NULL DEFAULT now()
            );
            CREATE INDEX web_sessions_user ON web_sessions (user_id, last_used_at);
            CREATE INDEX web_sessions_unused ON web_sessions (last_used_at);
            COMMENT ON COLUMN web_sessions.session_hash IS 'SHA-256 of the cookie''s value, which is kept nowhere';
            COMMENT ON COLUMN web_sessions.token_id IS 'The token it was begun with, and ends with';

            CREATE FUNCTION notify_web_session_ended() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('api_tokens', OLD.user_id::text);
                RETURN NULL;
            END $$;
            CREATE TRIGGER web_sessions_ended AFTER DELETE ON web_sessions
                FOR EACH ROW EXECUTE FUNCTION notify_web_session_ended();
            """)
}
