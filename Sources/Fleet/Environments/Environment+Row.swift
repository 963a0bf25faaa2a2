import Foundation
import PostgreSQL

extension EnvironmentStore {
    /// What ``Environment/init(row:)`` reads; the secrets are not among it.
    static let columns = """
        id, user_id, kind, slug, name, state, generation, tier, vcpus, memory_mb, disk_mb, processes, network, \
        provider, provider_instance_id, host, ssh_port, ssh_user, runner_port, client_public_key, error_message, \
        runtime_ms, running_since, last_started_at, last_stopped_at, last_activity_at, state_changed_at, expires_at, \
        created_at, updated_at, flavor, region, host_id, has_init_script, variable_names, repository_url, \
        setup_version, initialized_at
        """
}

extension Environment {
    init(row: PostgresRow) throws { self.init(try Row(row: row)) }
}

extension Environment.Row {
    fileprivate init(row: PostgresRow) throws {
        id = try row.decode("id")
        userID = try row.decode("user_id")
        kind = try row.decode("kind")
        slug = try row.decode("slug")
        name = try row.decode("name")
        state = try row.decode("state")
        generation = try row.decode("generation")
        tier = try row.decode("tier")
        vcpus = try row.decode("vcpus")
        memoryMb = try row.decode("memory_mb")
        diskMb = try row.decode("disk_mb")
        processes = try row.decode("processes")
        network = try row.decode("network")
        provider = try row.decode("provider")
        providerInstanceID = try row.decode("provider_instance_id")
        endpoint = try EnvironmentEndpoint(row: row)
        clientPublicKey = try row.decode("client_public_key")
        errorMessage = try row.decode("error_message")
        accountedRuntimeMs = try row.decode("runtime_ms")
        runningSince = try row.decode("running_since")
        lastStartedAt = try row.decode("last_started_at")
        lastStoppedAt = try row.decode("last_stopped_at")
        lastActivityAt = try row.decode("last_activity_at")
        stateChangedAt = try row.decode("state_changed_at")
        expiresAt = try row.decode("expires_at")
        createdAt = try row.decode("created_at")
        updatedAt = try row.decode("updated_at")
        flavor = try row.decode("flavor")
        region = try row.decode("region")
        hostID = try row.decode("host_id")
        hasInitScript = try row.decode("has_init_script")
        variableNames = try row.decode("variable_names")
        repositoryURL = try row.decode("repository_url")
        setupVersion = try row.decode("setup_version")
        initializedAt = try row.decode("initialized_at")
    }
}

extension EnvironmentEndpoint {
    /// `nil` while there is none; the table holds all four columns or none.
    init?(row: PostgresRow) throws {
        guard let host: String = try row.decode("host") else { return nil }
        self.host = host
        port = try row.decode("ssh_port")
        user = try row.decode("ssh_user")
        runnerPort = try row.decode("runner_port")
    }
}
