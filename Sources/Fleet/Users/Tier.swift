/// A named set of limits. The table is the one in docs/ARCHITECTURE.md.
package enum Tier: String, CaseIterable, Sendable, Codable {
    case free, pro, unlimited

    package var vcpus: Int {
        switch self {
        case .free: 2
        case .pro: 4
        case .unlimited: 8
        }
    }

    package var memoryMb: Int {
        switch self {
        case .free: 4_096
        case .pro: 8_192
        case .unlimited: 16_384
        }
    }

    package var diskMb: Int {
        switch self {
        case .free: 10_240
        case .pro: 51_200
        case .unlimited: 102_400
        }
    }

    /// After how long without an execution or an open terminal a VM is stopped; `nil`: never.
    package var idleStop: Duration? {
        switch self {
        case .free: .seconds(60 * 60)
        case .pro, .unlimited: nil
        }
    }

    /// How many living environments a user may have; `nil`: no limit.
    package var environments: Int? {
        switch self {
        case .free: 1
        case .pro: 3
        case .unlimited: nil
        }
    }

    /// The most one execution may ask for.
    package var executionCeiling: ExecutionLimits {
        let timeoutMs =
            switch self {
            case .free: 300_000
            case .pro: 3_600_000
            case .unlimited: 86_400_000
            }
        return ExecutionLimits(
            timeoutMs: timeoutMs, memoryMb: memoryMb, cpuMs: timeoutMs * vcpus, outputBytes: 1 << 30, processes: 512)
    }

    /// What an execution gets that asks for nothing.
    package var executionDefaults: ExecutionLimits {
        ExecutionLimits(
            timeoutMs: 30_000, memoryMb: min(1_024, memoryMb), cpuMs: 30_000 * vcpus, outputBytes: 16 << 20,
            processes: 256)
    }
}

/// The bounds of one execution.
package struct ExecutionLimits: Sendable, Hashable {
    package var timeoutMs: Int  // wall clock
    package var memoryMb: Int
    package var cpuMs: Int  // over all its processes
    package var outputBytes: Int  // stdout and stderr together
    package var processes: Int

    package init(timeoutMs: Int, memoryMb: Int, cpuMs: Int, outputBytes: Int, processes: Int) {
        self.timeoutMs = timeoutMs
        self.memoryMb = memoryMb
        self.cpuMs = cpuMs
        self.outputBytes = outputBytes
        self.processes = processes
    }
}
