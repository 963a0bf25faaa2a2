import PostgreSQL

/// Puts environments on hosts, inside the transaction that makes or starts them.
enum Placement {
    /// Providers whose VMs need one of our hosts.
    static let providers: Set<String> = ["firecracker"]

    /// Names the advisory lock of those who place: "placing" in ASCII.
    private static let lock: Int64 = 0x70_6C61_6369_6E67

    /// The ready host that is left with the least memory when it has taken `size`; none of its three measures is
    /// exceeded. Throws `no_host_available`.
    ///
    /// One places at a time in the whole fleet, until its transaction ends: what is counted after the lock has come
    /// includes all that was placed before. (To lock the hosts' rows one by one would let two place on different
    /// hosts at once, but each would have to count again after its lock, and may then want another host.)
    static func place(_ size: MachineSize, on connection: PostgresConnection) async throws -> HostID {
        _ = try await connection.query("SELECT pg_advisory_xact_lock(\(lock))")
        // A second round only where an admin took the host away between count and lock.
        for _ in 0..<5 {
            let best = try await connection.query(
                """
                SELECT hosts.id FROM firecracker_hosts AS hosts, LATERAL (
                    SELECT COALESCE(sum(vcpus), 0) AS vcpus, COALESCE(sum(memory_mb), 0) AS memory_mb,
                        COALESCE(sum(disk_mb), 0) AS disk_mb
                    FROM dev_environments WHERE host_id = hosts.id AND state <> 'destroyed') AS used
                WHERE hosts.state = 'ready' AND hosts.vcpus - used.vcpus >= \(size.vcpus)
                    AND hosts.memory_mb - used.memory_mb >= \(size.memoryMb)
                    AND hosts.disk_mb - used.disk_mb >= \(size.diskMb)
                ORDER BY hosts.memory_mb - used.memory_mb, hosts.name LIMIT 1
                """
            ).first
            guard let host: HostID = try best?.decode("id") else { break }
            if try await state(of: host, on: connection) == .ready { return host }
        }
        throw ServiceError(
            .noHostAvailable,
            "Environment not created: no host has \(size.vcpus) vCPUs, \(size.memoryMb) MB of memory and "
                + "\(size.diskMb) MB of disk left.",
            hint: "Try again later or ask for less; admins: add a host, or uncordon one.")
    }

    /// Throws `host_unavailable` unless what lives on the host may be started now, and sees to it that this stays so
    /// until the transaction ends.
    static func checkStart(
        of environment: Environment, on host: HostID, connection: PostgresConnection
    ) async throws {
        let state = try await state(of: host, on: connection)
        guard state?.admitsStarts != true else { return }
        throw ServiceError(
            .hostUnavailable,
            "Environment \(environment.slug) not started: its host is '\(state?.rawValue ?? "gone")'.",
            hint: "Try again later, or ask an admin when the host will be back.")
    }

    private static func state(of host: HostID, on connection: PostgresConnection) async throws -> HostState? {
        try await connection.query("SELECT state FROM firecracker_hosts WHERE id = \(host) FOR SHARE")
            .first?.decode("state")
    }
}
