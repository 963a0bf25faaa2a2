import Fleet
import Foundation

/// A user as admins see them.
struct AdminUserView: Encodable, Sendable {
    var id: UserID
    var name: String
    @Nullable var email: String?
    var role: Caller.Role
    var tier: Tier
    @Nullable var suspendedAt: Date?
    var createdAt: Date

    init(_ user: User) {
        id = user.id
        name = user.name
        email = user.email
        role = user.role
        tier = user.tier
        suspendedAt = user.suspendedAt
        createdAt = user.createdAt
    }
}

/// What an admin has set for a user in place of what the tier says.
struct QuotaOverridesView: Encodable, Sendable {
    @Nullable var environments: Int?
    @Nullable var runningEnvironments: Int?
    @Nullable var vcpus: Int?
    @Nullable var memoryMb: Int?
    @Nullable var diskMb: Int?
    @Nullable var runtimeHours: Int?
    @Nullable var network: NetworkPolicy?

    init(_ overrides: QuotaOverrides) {
        environments = overrides.environments
        runningEnvironments = overrides.runningEnvironments
        vcpus = overrides.vcpus
        memoryMb = overrides.memoryMb
        diskMb = overrides.diskMb
        runtimeHours = overrides.runtimeHours
        network = overrides.network
    }
}

/// An environment as its owner sees it, and whose and where it is.
struct AdminVMView: Encodable, Sendable {
    let environment: EnvironmentView
    let ownership: Ownership

    struct Ownership: Encodable, Sendable {
        var ownerId: UserID
        @Nullable var ownerName: String?
        @Nullable var hostId: HostID?
        /// The provider's own name for it.
        @Nullable var instanceId: String?
    }

    init(_ environment: Environment, ownerName: String?) {
        self.environment = EnvironmentView(environment)
        ownership = Ownership(
            ownerId: environment.userID, ownerName: ownerName, hostId: environment.hostID,
            instanceId: environment.providerInstanceID)
    }

    /// Both in one object.
    func encode(to encoder: any Encoder) throws {
        try environment.encode(to: encoder)
        try ownership.encode(to: encoder)
    }
}

struct WakeReasonView: Encodable, Sendable {
    var runningExecutions: Int
    var openSessions: Int
    @Nullable var lastActivityAt: Date?
    @Nullable var idleStopAt: Date?
    @Nullable var expiresAt: Date?

    init(_ reason: WakeReason) {
        runningExecutions = reason.runningExecutions
        openSessions = reason.openSessions
        lastActivityAt = reason.lastActivityAt
        idleStopAt = reason.idleStopAt
        expiresAt = reason.expiresAt
    }
}

/// Something that happened to a VM: one of `audit` and `execution` says what.
struct TimelineEventView: Encodable, Sendable {
    enum Kind: String, Encodable, CaseIterable { case audit, execution }

    var at: Date
    var kind: Kind
    @Nullable var audit: AuditView?
    @Nullable var execution: ExecutionView?

    init(_ event: Timeline.Event) {
        switch event {
        case .audit(let entry):
            (at, kind) = (entry.createdAt, .audit)
            (audit, execution) = (AuditView(entry), nil)
        case .execution(let run):
            (at, kind) = (run.startedAt, .execution)
            (audit, execution) = (nil, ExecutionView(run))
        }
    }
}

struct SizeView: Encodable, Sendable {
    var vcpus: Int
    var memoryMb: Int
    var diskMb: Int

    init(_ size: MachineSize) {
        vcpus = size.vcpus
        memoryMb = size.memoryMb
        diskMb = size.diskMb
    }
}

struct HostView: Encodable, Sendable {
    var id: HostID
    var name: String
    var address: String
    var state: HostState
    var capacity: SizeView
    var used: SizeView
    var environments: Int
    var awakeEnvironments: Int
    @Nullable var lastSeenAt: Date?
    var createdAt: Date

    init(_ host: VMHost) {
        id = host.id
        name = host.name
        address = host.address
        state = host.state
        capacity = SizeView(host.capacity)
        used = SizeView(host.used)
        environments = host.environments
        awakeEnvironments = host.awakeEnvironments
        lastSeenAt = host.lastSeenAt
        createdAt = host.createdAt
    }
}
