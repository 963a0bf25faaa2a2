import PostgreSQL

extension Schema {
    /// What users' own SSH clients log into their VMs with. Of each the public half only.
    static let sshKeys = Migration(
        number: 11, name: "ssh_keys",
        sql: """
            CREATE TABLE ssh_keys (
                id uuid PRIMARY KEY,
                user_id uuid NOT NULL REFERENCES users,
                name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
                public_key text NOT NULL CHECK (char_length(public_key) <= 8192 AND public_key !~ '[\\n\\r]'),
                fingerprint text NOT NULL CHECK (fingerprint ~ '^SHA256:[A-Za-z0-9+/]{43}$'),
                created_at timestamptz NOT NULL DEFAULT now(),
                CONSTRAINT ssh_keys_once UNIQUE (user_id, fingerprint)
            );
            COMMENT ON COLUMN ssh_keys.public_key IS 'Algorithm and key as in authorized_keys, without options and comment';
            """)
}
