import Execution
import Fleet
import Foundation

extension GatewayOperations {
    /// What Execution and Fleet do. `provider` makes the VMs that are created here, unless a
    /// request names another of `providers`, and has `catalog` to offer.
    static func live(
        execution: ExecutionService, fleet: Fleet, provider: String, providers: [String],
        catalog: @escaping ProviderCatalog
    ) -> GatewayOperations {
        GatewayOperations(
            authenticate: { try await fleet.authenticator.authenticate($0) },
            execute: { request, caller, requestID, body in
                try await execution.withExecution(request, caller: caller, requestID: requestID) { id, events in
                    try await body(id, events)
                }
            },
            writeStdin: { id, bytes, end, caller in
                try await execution.writeStdin(id, bytes, end: end, caller: caller)
            },
            cancel: { id, caller in try await execution.cancel(id, caller: caller) },
            executions: { caller, limit, before in
                try await fleet.executions.list(owner: caller.userID, limit: limit, before: before).map {
                    ExecutionView($0)
                }
            },
            execution: { id, caller in
                try await fleet.executions.find(id, owner: caller.userID).map { ExecutionView($0) }
            },
            runtimes: { try await execution.runtimes(for: $0) },
            vm: { try await fleet.environments.userVM(of: $0.userID).map { VMView($0) } },
            createVM: { caller, choice, requestID, keeper in
                VMView(
                    try await fleet.environments.createUserVM(
                        for: caller, requestID: requestID, provider: provider, flavor: choice.flavor,
                        region: choice.region, keeper: keeper?.of { VMView($0) }))
            },
            startVM: { caller, requestID in
                let vms = fleet.environments
                guard let vm = try await vms.userVM(of: caller.userID) else {
                    return VMView(try await vms.createUserVM(for: caller, requestID: requestID, provider: provider))
                }
                let actor = AuditActor(caller)
                // To start what has failed is to ask for its recovery.
                return VMView(
                    vm.state == .error
                        ? try await vms.recover(vm.id, actor: actor, requestID: requestID)
                        : try await vms.requestStart(vm.id, actor: actor, requestID: requestID))
            },
            stopVM: { caller, requestID in
                let vm = try await ownVM(caller, fleet)
                return VMView(
                    try await fleet.environments.requestStop(
                        vm.id, actor: AuditActor(caller), requestID: requestID))
            },
            destroyVM: { caller, requestID in
                let vm = try await ownVM(caller, fleet)
                return VMView(
                    try await fleet.environments.requestDestroy(
                        vm.id, actor: AuditActor(caller), requestID: requestID))
            },
            catalog: catalog,
            trpc: .live(fleet),
            provisionLog: { try await fleet.provisionLog.recent($0.userID).map { LogLineView($0) } },
            followProvisionLog: { caller, line in
                try await fleet.provisionLog.withFollowing(caller.userID) { entries in
                    for try await entry in entries { try await line(LogLineView(entry)) }
                }
            },
            tokens: { try await fleet.tokens.list(of: $0.userID).map { TokenView($0) } },
            createToken: { caller, new, requestID, keeper in
                let (text, token) = try await fleet.tokens.create(
                    for: caller.userID, name: new.name, scopes: new.scopes, expiresAt: new.expiresAt,
                    by: AuditActor(caller), requestID: requestID,
                    keeper: keeper?.of { TokenView($0.record, text: $0.token) })
                return TokenView(token, text: text)
            },
            revokeToken: { id, caller, requestID in
                try await fleet.tokens.revoke(id, by: caller, requestID: requestID)
            },
            files: { caller, environment, requestID, body in
                try await execution.withFiles(of: environment, caller: caller, requestID: requestID, body)
            },
            ssh: .live(execution, fleet), terminals: .live(execution),
            environments: .live(fleet, providers: providers),
            administered: fleet, sessions: .live(fleet),
            unreachable: { await fleet.unreachable() })
    }

    private static func ownVM(_ caller: Caller, _ fleet: Fleet) async throws -> Environment {
        guard let vm = try await fleet.environments.userVM(of: caller.userID) else {
            throw ServiceError(
                .environmentNotFound, "You have no VM.", hint: "Make one with 'martlet vm start' or POST /v1/vm.")
        }
        return vm
    }
}

extension VMView {
    init(_ environment: Environment) {
        self.init(
            id: environment.id, slug: environment.slug, name: environment.name, status: environment.status,
            state: environment.state, tier: environment.tier, vcpus: environment.vcpus, memoryMb: environment.memoryMb,
            diskMb: environment.diskMb, provider: environment.provider, errorMessage: environment.errorMessage,
            createdAt: environment.createdAt, startedAt: environment.startedAt,
            lastActivityAt: environment.lastActivityAt)
    }
}

extension ExecutionView {
    init(_ summary: ExecutionSummary) {
        self.init(
            id: summary.id, environmentId: summary.environmentID, requestId: summary.requestID,
            state: summary.state.rawValue, language: summary.language, codeBytes: summary.codeBytes,
            exitCode: summary.exitCode, signal: summary.signal, durationMs: summary.durationMs, cpuMs: summary.cpuMs,
            maxRssBytes: summary.maxRssBytes, truncated: summary.truncated, stdoutBytes: summary.stdoutBytes,
            stderrBytes: summary.stderrBytes, errorCode: summary.errorCode?.rawValue,
            errorMessage: summary.errorMessage, startedAt: summary.startedAt, finishedAt: summary.finishedAt)
    }

    init(_ detail: ExecutionDetail) {
        self.init(detail.summary)
        code = TextOrBytes(bytes: detail.code)
        stdout = TextOrBytes(bytes: detail.stdout)
        stderr = TextOrBytes(bytes: detail.stderr)
    }
}

extension LogLineView {
    init(_ entry: ProvisionLogEntry) {
        self.init(timestamp: entry.timestamp, level: entry.level.rawValue, message: entry.message)
    }
}

extension TokenView {
    init(_ token: APIToken, text: String? = nil) {
        self.init(
            token: text, id: token.id, name: token.name, scopes: token.scopes.map(\.rawValue).sorted(),
            createdAt: token.createdAt, lastUsedAt: token.lastUsedAt, expiresAt: token.expiresAt,
            revokedAt: token.revokedAt)
    }
}
