import Fleet

/// What the procedures need beyond what the routes do.
struct TRPCOperations: Sendable {
    var vm: @Sendable (Caller) async throws -> DashboardVM?
    /// VMs of everybody that are not destroyed, by id, those after `after`; none at the end. For admins.
    var page: @Sendable (_ after: EnvironmentID?) async throws -> [DashboardVM]
    /// Destroys anybody's VM. For admins.
    var destroy: @Sendable (EnvironmentID, Caller, _ requestID: String) async throws -> Void

    static func live(_ fleet: Fleet) -> TRPCOperations {
        let environments = fleet.environments
        let living = Set(EnvironmentState.allCases).subtracting([.destroyed])
        return TRPCOperations(
            vm: { try await environments.userVM(of: $0.userID).map { DashboardVM($0) } },
            page: { try await environments.list(states: living, limit: 500, after: $0).map { DashboardVM($0) } },
            destroy: { id, caller, requestID in
                try await environments.requestDestroy(id, actor: AuditActor(caller), requestID: requestID)
            })
    }
}

extension DashboardVM {
    init(_ environment: Environment) {
        self.init(
            id: environment.id, userId: environment.userID, status: Status(environment.state),
            vcpus: environment.vcpus, memoryMb: environment.memoryMb, diskGb: environment.diskMb / 1_024,
            sshPort: environment.endpoint?.port, sshPublicKey: environment.clientPublicKey,
            sshUsername: environment.endpoint?.user, internalIp: environment.endpoint?.host,
            environmentId: environment.id, totalRuntimeMinutes: environment.runtimeSeconds() / 60,
            lastStartedAt: environment.lastStartedAt, lastStoppedAt: environment.lastStoppedAt,
            lastActivityAt: environment.lastActivityAt, createdAt: environment.createdAt,
            updatedAt: environment.updatedAt, errorMessage: environment.errorMessage)
    }
}
