import PostgreSQL

extension Schema {
    /// Tells gateways which users' environments have changed in what they keep of them (``RouteCache``). Not told: that
    /// one was used, and what workers note of its setup.
    static let routes = Migration(
        number: 9, name: "routes",
        sql: """
            CREATE FUNCTION notify_environment_changed() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_notify('environments', OLD.user_id::text);
                RETURN NULL;
            END $$;
            CREATE TRIGGER dev_environments_changed
                AFTER UPDATE OF state, generation, slug, name, tier, vcpus, memory_mb, disk_mb, processes, network,
                    host, ssh_port, ssh_user, runner_port, client_public_key, secrets, setup_version, expires_at OR DELETE
                ON dev_environments
                FOR EACH ROW EXECUTE FUNCTION notify_environment_changed();
            """)
}
