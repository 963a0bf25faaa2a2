/// What one user may have: the tier's, save where an admin has set something else. `nil`: no limit.
package struct Quota: Sendable, Hashable, Codable {
    /// Living ones, in whatever state; the user's own VM is one of them.
    package let environments: Int?
    /// Those being made or started, running, or not yet stopped.
    package let runningEnvironments: Int?
    // Over all living ones.
    package let vcpus: Int?
    package let memoryMb: Int?
    package let diskMb: Int?
    /// In the calendar month, UTC, over all environments.
    package let runtimeHours: Int?
    /// Of runs.
    package let network: NetworkPolicy

    package init(tier: Tier, overrides: QuotaOverrides = QuotaOverrides()) {
        let environments = overrides.environments ?? tier.environments
        func times(_ size: Int) -> Int? { environments.map { $0 * size } }
        self.environments = environments
        runningEnvironments = overrides.runningEnvironments ?? environments
        vcpus = overrides.vcpus ?? times(tier.vcpus)
        memoryMb = overrides.memoryMb ?? times(tier.memoryMb)
        diskMb = overrides.diskMb ?? times(tier.diskMb)
        runtimeHours = overrides.runtimeHours
        network = overrides.network ?? tier.network
    }
}

/// What an admin has set for one user in place of what the tier says; `nil`: the tier's.
package struct QuotaOverrides: Sendable, Hashable, Codable {
    package var environments: Int?
    package var runningEnvironments: Int?
    package var vcpus: Int?
    package var memoryMb: Int?
    package var diskMb: Int?
    package var runtimeHours: Int?
    package var network: NetworkPolicy?

    package init(
        environments: Int? = nil, runningEnvironments: Int? = nil, vcpus: Int? = nil, memoryMb: Int? = nil,
        diskMb: Int? = nil, runtimeHours: Int? = nil, network: NetworkPolicy? = nil
    ) {
        self.environments = environments
        self.runningEnvironments = runningEnvironments
        self.vcpus = vcpus
        self.memoryMb = memoryMb
        self.diskMb = diskMb
        self.runtimeHours = runtimeHours
        self.network = network
    }

    /// Those that are figures, each with its name in the API.
    var fields: [(name: String, value: Int?)] {
        [
            ("environments", environments), ("runningEnvironments", runningEnvironments), ("vcpus", vcpus),
            ("memoryMb", memoryMb), ("diskMb", diskMb), ("runtimeHours", runtimeHours),
        ]
    }

    var isEmpty: Bool { self == QuotaOverrides() }
}

/// What one user has, counted as ``Quota`` counts.
package struct QuotaUsage: Sendable, Hashable, Codable {
    package let environments: Int
    package let runningEnvironments: Int
    package let vcpus: Int
    package let memoryMb: Int
    package let diskMb: Int
    /// In the calendar month, UTC, runs under way included.
    package let runtimeSeconds: Int

    package var runtimeHours: Double { Double(runtimeSeconds) / 3_600 }
}

extension Quota {
    /// Throws `quota_exceeded` unless there is room for one environment more of this size.
    func checkRoom(for size: MachineSize, beside usage: QuotaUsage) throws(ServiceError) {
        let measures: [(String, Int?, Int, Int)] = [
            ("environments", environments, usage.environments, 1), ("vCPUs", vcpus, usage.vcpus, size.vcpus),
            ("MB of memory", memoryMb, usage.memoryMb, size.memoryMb),
            ("MB of disk", diskMb, usage.diskMb, size.diskMb),
        ]
        for (name, limit, used, wanted) in measures {
            guard let limit, used + wanted > limit else { continue }
            throw .quotaExceeded(
                "Environment not created", name, limit: limit, used: used, wanted: wanted,
                hint: "Destroy one, or ask an admin for a larger tier or quota.")
        }
    }

    /// Throws `quota_exceeded` unless one more may run.
    func checkStart(beside usage: QuotaUsage) throws(ServiceError) {
        if let limit = runningEnvironments, usage.runningEnvironments + 1 > limit {
            throw .quotaExceeded(
                "Environment not started", "running environments", limit: limit, used: usage.runningEnvironments,
                wanted: 1, hint: "Stop one first, or ask an admin for a larger tier or quota.")
        }
        if let limit = runtimeHours, usage.runtimeSeconds >= limit * 3_600 {
            throw .quotaExceeded(
                "Environment not started", "hours of runtime this month", limit: limit,
                used: usage.runtimeSeconds / 3_600, wanted: 1,
                hint: "It counts anew from the first of the month, UTC; or ask an admin for a larger quota.")
        }
    }
}

extension ServiceError {
    fileprivate static func quotaExceeded(
        _ undone: String, _ measure: String, limit: Int, used: Int, wanted: Int, hint: String
    ) -> ServiceError {
        ServiceError(
            .quotaExceeded, "\(undone): the quota is \(limit) \(measure), \(used) in use, \(wanted) more wanted.",
            hint: hint)
    }
}
