package import Foundation
import PostgreSQL

/// The whole at a glance. Counts of the queues are the queues' own.
package struct FleetStats: Sendable, Hashable {
    // Living environments.
    package let environmentsByState: [EnvironmentState: Int]
    package let environmentsByProvider: [String: Int]
    package let environmentsByTier: [Tier: Int]
    package let users: Int
    package let suspendedUsers: Int
    package let usersByTier: [Tier: Int]
    /// In the calendar month, UTC, over everybody, runs under way included.
    package let runtimeHoursThisMonth: Double
    package let executionsLastHour: ExecutionStats
    package let hostsByState: [HostState: Int]
    // Over all hosts, lost ones and those in maintenance among them.
    package let hostCapacity: MachineSize
    package let hostUsed: MachineSize

    package var environments: Int { environmentsByState.values.reduce(0, +) }
}

extension Fleet {
    /// Counted now, in a handful of statements: good for a page, not for every second of a thousand of them.
    package func stats(now: Date = .now) async throws -> FleetStats {
        try await ServiceError.translating("Statistics not read") {
            let environments = try await database.query(
                """
                SELECT state, provider, tier, count(*) AS count FROM dev_environments WHERE state <> 'destroyed'
                GROUP BY state, provider, tier
                """)
            var byState: [EnvironmentState: Int] = [:]
            var byProvider: [String: Int] = [:]
            var byTier: [Tier: Int] = [:]
            for row in environments {
                let count: Int = try row.decode("count")
                byState[try row.decode("state"), default: 0] += count
                byProvider[try row.decode("provider"), default: 0] += count
                byTier[try row.decode("tier"), default: 0] += count
            }
            var usersByTier: [Tier: Int] = [:]
            var suspended = 0
            for row in try await database.query(
                "SELECT tier, count(*) AS count, count(suspended_at) AS suspended FROM users GROUP BY tier")
            {
                usersByTier[try row.decode("tier")] = try row.decode("count")
                suspended += try row.decode("suspended")
            }
            let runtime = try await database.query(
                """
                WITH moment AS (
                    SELECT \(now)::timestamptz AS now, date_trunc('month', \(now)::timestamptz, 'UTC') AS month)
                SELECT (\(raw: QuotaStore.secondsOfMonth))::float8 AS seconds FROM environment_runs, moment
                WHERE stopped_at IS NULL OR stopped_at > month
                """
            ).first
            let hosts = try await database.query(
                """
                SELECT hosts.state, count(*) AS count, sum(hosts.vcpus)::bigint AS vcpus,
                    sum(hosts.memory_mb)::bigint AS memory_mb, sum(hosts.disk_mb)::bigint AS disk_mb,
                    sum(used.vcpus)::bigint AS used_vcpus, sum(used.memory_mb)::bigint AS used_memory_mb,
                    sum(used.disk_mb)::bigint AS used_disk_mb
                FROM firecracker_hosts AS hosts, LATERAL (
                    SELECT COALESCE(sum(vcpus), 0) AS vcpus, COALESCE(sum(memory_mb), 0) AS memory_mb,
                        COALESCE(sum(disk_mb), 0) AS disk_mb
                    FROM dev_environments WHERE host_id = hosts.id AND state <> 'destroyed') AS used
                GROUP BY hosts.state
                """)
            var hostsByState: [HostState: Int] = [:]
            var capacity = MachineSize(vcpus: 0, memoryMb: 0, diskMb: 0)
            var used = capacity
            for row in hosts {
                hostsByState[try row.decode("state")] = try row.decode("count")
                capacity.vcpus += try row.decode("vcpus")
                capacity.memoryMb += try row.decode("memory_mb")
                capacity.diskMb += try row.decode("disk_mb")
                used.vcpus += try row.decode("used_vcpus")
                used.memoryMb += try row.decode("used_memory_mb")
                used.diskMb += try row.decode("used_disk_mb")
            }
            return FleetStats(
                environmentsByState: byState, environmentsByProvider: byProvider, environmentsByTier: byTier,
                users: usersByTier.values.reduce(0, +), suspendedUsers: suspended, usersByTier: usersByTier,
                runtimeHoursThisMonth: try (runtime?.decode("seconds") ?? 0) / 3_600,
                executionsLastHour: try await executions.stats(since: now.addingTimeInterval(-3_600)),
                hostsByState: hostsByState, hostCapacity: capacity, hostUsed: used)
        }
    }
}
