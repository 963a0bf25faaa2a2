import Fleet
import Foundation

/// A VM as the procedures show it: the fields of the first implementation, whose dashboards read them.
struct DashboardVM: Encodable, Sendable {
    enum Status: String, Encodable { case pending, provisioning, running, stopped, error, destroying }

    var id: EnvironmentID
    var userId: UserID
    var status: Status
    var vcpus: Int
    var memoryMb: Int
    var diskGb: Int
    @Nullable var sshPort: Int?
    @Nullable var sshPublicKey: String?
    @Nullable var sshUsername: String?
    @Nullable var internalIp: String?
    @Nullable var environmentId: EnvironmentID?
    var totalRuntimeMinutes: Int
    @Nullable var lastStartedAt: Date?
    @Nullable var lastStoppedAt: Date?
    @Nullable var lastActivityAt: Date?
    var createdAt: Date
    var updatedAt: Date
    @Nullable var errorMessage: String?
}

extension DashboardVM.Status {
    init(_ state: EnvironmentState) {
        switch state {
        case .requested: self = .pending
        case .provisioning, .starting: self = .provisioning
        case .running: self = .running
        case .stopping, .stopped: self = .stopped
        case .destroying, .destroyed: self = .destroying
        case .error: self = .error
        }
    }
}

/// All VMs there are, and what they come to.
struct FleetView: Encodable, Sendable {
    struct Stats: Encodable, Sendable {
        var total = 0
        var running = 0
        var stopped = 0
        var provisioning = 0
        var error = 0
        var totalVcpus = 0
        var totalMemoryMb = 0
        var runningVcpus = 0
        var runningMemoryMb = 0

        mutating func count(_ vm: DashboardVM) {
            total += 1
            totalVcpus += vm.vcpus
            totalMemoryMb += vm.memoryMb
            switch vm.status {
            case .pending, .provisioning: provisioning += 1
            case .stopped: stopped += 1
            case .error: error += 1
            case .destroying: break
            case .running:
                running += 1
                runningVcpus += vm.vcpus
                runningMemoryMb += vm.memoryMb
            }
        }
    }

    var vms: [DashboardVM] = []
    var stats = Stats()
    /// Whether there are more VMs than are listed.
    var isCut = false

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(vms, forKey: .vms)
        try container.encode([String](), forKey: .hosts)  // machines that hold VMs: no provider has any yet
        try container.encode(stats, forKey: .stats)
        try container.encode(isCut ? vms.last?.id : nil, forKey: .nextCursor)
    }

    private enum Key: String, CodingKey { case vms, hosts, stats, nextCursor }
}
