package import Foundation

/// A machine of ours that VMs are placed on, and what lives on it.
package struct VMHost: Sendable, Hashable {
    package let id: HostID
    package let name: String
    package let address: String
    package let state: HostState
    package let capacity: MachineSize
    /// By everything that is not destroyed, whether it runs or not: what was promised is kept.
    package let used: MachineSize
    /// How many environments live on it, and how many of them are not at rest.
    package let environments: Int
    package let awakeEnvironments: Int
    package let lastSeenAt: Date?
    package let createdAt: Date
    package let updatedAt: Date

    package var free: MachineSize {
        MachineSize(
            vcpus: capacity.vcpus - used.vcpus, memoryMb: capacity.memoryMb - used.memoryMb,
            diskMb: capacity.diskMb - used.diskMb)
    }
}

/// What a host is good for.
package enum HostState: String, Sendable, Codable, CaseIterable {
    /// Takes new environments.
    case ready
    /// Takes none; what lives on it goes on as before.
    case cordoned
    /// Takes none, starts none, and what runs on it is being stopped.
    case draining
    /// Nothing runs on it.
    case maintenance
    /// Its agent has not been heard of.
    case lost

    /// Whether what lives on it may be started.
    package var admitsStarts: Bool {
        switch self {
        case .ready, .cordoned: true
        case .draining, .maintenance, .lost: false
        }
    }

    /// What an admin may make of a host in this state, besides leaving it.
    package var successors: Set<HostState> {
        switch self {
        case .ready: [.cordoned, .draining, .maintenance]
        case .cordoned: [.ready, .draining, .maintenance]
        case .draining: [.ready, .cordoned, .maintenance]
        case .maintenance: [.ready, .cordoned]
        case .lost: [.cordoned, .draining, .maintenance]
        }
    }
}
