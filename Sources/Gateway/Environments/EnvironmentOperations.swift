import Fleet

/// What the routes of environments need of Fleet.
struct EnvironmentOperations: Sendable {
    var list: @Sendable (Caller, _ limit: Int, _ after: EnvironmentID?) async throws -> [EnvironmentView]
    var create:
        @Sendable (EnvironmentRequest, Caller, _ requestID: String, IdempotencyStore.Keeper<EnvironmentView>?)
            async throws -> EnvironmentView
    /// `name`, here and below: a slug or an id.
    var find: @Sendable (_ name: String, Caller) async throws -> EnvironmentView
    var update:
        @Sendable (_ name: String, EnvironmentUpdate, Caller, _ requestID: String) async throws -> EnvironmentView
    var change: @Sendable (EnvironmentVerb, _ name: String, Caller, _ requestID: String) async throws -> EnvironmentView
    var audit: @Sendable (_ name: String, Caller, _ limit: Int, _ before: Int64?) async throws -> [AuditView]
    var executions:
        @Sendable (_ name: String, Caller, _ limit: Int, _ before: ExecutionID?) async throws -> [ExecutionView]
    /// Throws for what is not the caller's; the answer reads what is done to it.
    var log: @Sendable (_ name: String, Caller) async throws -> ProvisionLogAnswer
    /// What keeps it awake, and until when.
    var why: @Sendable (_ name: String, Caller) async throws -> WakeReasonView
    /// Calls its argument at once and whenever something of the caller's may have changed, until cancelled.
    var follow: @Sendable (Caller, @escaping @Sendable () async throws -> Void) async throws -> Void
    var quota: @Sendable (Caller) async throws -> QuotaView
    /// `nil` where answers cannot be kept.
    var idempotency: IdempotencyStore?

    /// - Parameter providers: the names of those that make VMs here.
    static func live(_ fleet: Fleet, providers: [String]) -> EnvironmentOperations {
        let environments = fleet.environments
        @Sendable func own(_ name: String, _ caller: Caller, _ action: String, _ requestID: String? = nil) async throws
            -> Environment
        {
            try await environments.authorized(
                name, for: caller, to: action, requestID: requestID, admitsAdmins: false)
        }
        return EnvironmentOperations(
            list: { caller, limit, after in
                try await environments.list(owner: caller.userID, limit: limit, after: after)
                    .map { EnvironmentView($0) }
            },
            create: { request, caller, requestID, keeper in
                guard providers.contains(request.provider) else {
                    throw ServiceError(
                        .providerUnknown, "Environment not created: no provider '\(request.provider.prefix(64))' here.",
                        hint: "Leave it out, or use one of: \(providers.joined(separator: ", ")).")
                }
                return EnvironmentView(
                    try await environments.create(
                        request, for: caller, requestID: requestID, keeper: keeper?.of { EnvironmentView($0) }))
            },
            find: { EnvironmentView(try await own($0, $1, "show")) },
            update: { name, update, caller, requestID in
                let id = try await own(name, caller, "update", requestID).id
                return EnvironmentView(try await environments.update(id, update, by: caller, requestID: requestID))
            },
            change: { verb, name, caller, requestID in
                let id = try await own(name, caller, verb.rawValue, requestID).id
                let actor = AuditActor(caller)
                let changed =
                    switch verb {
                    case .start: try await environments.requestStart(id, actor: actor, requestID: requestID)
                    case .stop: try await environments.requestStop(id, actor: actor, requestID: requestID)
                    case .recover: try await environments.recover(id, actor: actor, requestID: requestID)
                    case .destroy: try await environments.requestDestroy(id, actor: actor, requestID: requestID)
                    }
                return EnvironmentView(changed)
            },
            audit: { name, caller, limit, before in
                let id = try await own(name, caller, "audit").id
                return try await fleet.audit.list(environment: id, limit: limit, before: before).map { AuditView($0) }
            },
            executions: { name, caller, limit, before in
                let id = try await own(name, caller, "executions").id
                return try await fleet.executions.list(environment: id, limit: limit, before: before)
                    .map { ExecutionView($0) }
            },
            log: { name, caller in
                let id = try await own(name, caller, "logs").id
                return ProvisionLogAnswer(fleet.provisionLog, of: id)
            },
            why: { name, caller in
                WakeReasonView(try await environments.wakeReason(of: try await own(name, caller, "why").id))
            },
            follow: { caller, changed in
                try await fleet.signals.withSubscription(toOwner: caller.userID) { signals in
                    try await Wakes.each(signals, atLeastEvery: .seconds(10), changed)
                }
            },
            quota: { caller in
                QuotaView(
                    try await fleet.quotas.limits(of: caller.userID), try await fleet.quotas.usage(of: caller.userID))
            },
            idempotency: fleet.idempotency)
    }
}

/// What is asked of an environment that is there.
enum EnvironmentVerb: String, Sendable {
    case start, stop, recover, destroy
}
