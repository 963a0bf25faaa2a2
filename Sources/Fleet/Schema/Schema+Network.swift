import PostgreSQL

extension Schema {
    /// What one user's runs may reach in place of what the tier says. An environment's own `network` always is what its
    /// owner's runs may reach: whoever changes tier or quota changes it too.
    static let network = Migration(
        number: 12, name: "network",
        sql: """
            ALTER TABLE user_quotas ADD COLUMN network text CHECK (network IN ('none', 'egress'));
            UPDATE dev_environments SET network = true FROM users
                WHERE users.id = dev_environments.user_id AND users.tier IN ('pro', 'unlimited')
                    AND dev_environments.state <> 'destroyed';
            """)
}
