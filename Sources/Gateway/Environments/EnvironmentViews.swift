import Fleet
import Foundation

/// An environment as the API shows it: of its variables the names, of its repository what is not secret.
struct EnvironmentView: Encodable, Sendable {
    var id: EnvironmentID
    var slug: Slug
    var kind: String
    var name: String
    var state: EnvironmentState
    var tier: Tier
    var vcpus: Int
    var memoryMb: Int
    var diskMb: Int
    var network: NetworkPolicy
    var provider: String
    @Nullable var flavor: String?
    @Nullable var region: String?
    @Nullable var repository: String?
    var environmentVars: [String]
    var hasInitScript: Bool
    @Nullable var initializedAt: Date?
    @Nullable var errorMessage: String?
    var runtimeSeconds: Int
    @Nullable var expiresAt: Date?
    var createdAt: Date
    var stateChangedAt: Date
    @Nullable var startedAt: Date?
    @Nullable var lastActivityAt: Date?
}

extension EnvironmentView {
    init(_ environment: Environment) {
        self.init(
            id: environment.id, slug: environment.slug, kind: environment.kind.rawValue, name: environment.name,
            state: environment.state, tier: environment.tier, vcpus: environment.vcpus,
            memoryMb: environment.memoryMb, diskMb: environment.diskMb, network: environment.networkPolicy,
            provider: environment.provider,
            flavor: environment.flavor, region: environment.region, repository: environment.repositoryURL,
            environmentVars: environment.variableNames, hasInitScript: environment.hasInitScript,
            initializedAt: environment.initializedAt, errorMessage: environment.errorMessage,
            runtimeSeconds: environment.runtimeSeconds(), expiresAt: environment.expiresAt,
            createdAt: environment.createdAt, stateChangedAt: environment.stateChangedAt,
            startedAt: environment.startedAt, lastActivityAt: environment.lastActivityAt)
    }
}

extension EnvironmentView {
    func with(runtimeSeconds: Int) -> EnvironmentView {
        var copy = self
        copy.runtimeSeconds = runtimeSeconds
        return copy
    }
}

/// One line of the audit log.
struct AuditView: Encodable, Sendable {
    struct Actor: Encodable, Sendable {
        var kind: String
        var id: String
    }

    var id: Int64
    @Nullable var environmentId: EnvironmentID?
    @Nullable var userId: UserID?
    var actor: Actor
    var action: String
    @Nullable var fromState: EnvironmentState?
    @Nullable var toState: EnvironmentState?
    @Nullable var requestId: String?
    @Nullable var errorCode: String?
    @Nullable var durationMs: Int?
    var detail: [String: String]
    var createdAt: Date
}

extension AuditView {
    init(_ entry: AuditEntry) {
        self.init(
            id: entry.id, environmentId: entry.environmentID, userId: entry.userID,
            actor: Actor(kind: entry.actor.kind.rawValue, id: entry.actor.id), action: entry.action,
            fromState: entry.fromState, toState: entry.toState, requestId: entry.requestID,
            errorCode: entry.errorCode, durationMs: entry.durationMs, detail: entry.detail, createdAt: entry.createdAt)
    }
}

/// What a user may have and has.
struct QuotaView: Encodable, Sendable {
    struct Limits: Encodable, Sendable {
        @Nullable var environments: Int?
        @Nullable var runningEnvironments: Int?
        @Nullable var vcpus: Int?
        @Nullable var memoryMb: Int?
        @Nullable var diskMb: Int?
        @Nullable var runtimeHours: Int?
        var network: NetworkPolicy
    }

    struct Used: Encodable, Sendable {
        var environments: Int
        var runningEnvironments: Int
        var vcpus: Int
        var memoryMb: Int
        var diskMb: Int
        var runtimeSeconds: Int
    }

    var limits: Limits
    var used: Used
}

extension QuotaView {
    init(_ quota: Quota, _ usage: QuotaUsage) {
        self.init(
            limits: Limits(
                environments: quota.environments, runningEnvironments: quota.runningEnvironments, vcpus: quota.vcpus,
                memoryMb: quota.memoryMb, diskMb: quota.diskMb, runtimeHours: quota.runtimeHours,
                network: quota.network),
            used: Used(
                environments: usage.environments, runningEnvironments: usage.runningEnvironments, vcpus: usage.vcpus,
                memoryMb: usage.memoryMb, diskMb: usage.diskMb, runtimeSeconds: usage.runtimeSeconds))
    }
}
