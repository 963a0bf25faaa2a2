import Foundation
import PostgreSQL

// What users and admins ask for. All of it is idempotent: asking for what is already so, or on its way, returns the
// environment as it is. What is refused is a line in the audit log.
extension EnvironmentStore {
    /// Starts a stopped one. One that is being made or started, or that runs, is returned as it is. Throws
    /// `environment_not_found`, `illegal_transition` with a hint in all other states, `quota_exceeded` if its owner may
    /// run no more, `host_unavailable`.
    @discardableResult
    package func requestStart(
        _ id: EnvironmentID, actor: AuditActor, requestID: String? = nil
    ) async throws -> Environment {
        try await request(id, actor: actor, action: "start", requestID: requestID) { environment in
            switch environment.state {
            case .requested, .provisioning, .starting, .running: nil
            case .stopped: .starting
            case .stopping, .destroying, .destroyed, .error: throw Self.refusal(environment, "started")
            }
        }
    }

    /// Stops a running one. One that is being stopped, or is stopped, is returned as it is. Throws as
    /// ``requestStart(_:actor:requestID:)``.
    @discardableResult
    package func requestStop(
        _ id: EnvironmentID, actor: AuditActor, requestID: String? = nil
    ) async throws -> Environment {
        try await request(id, actor: actor, action: "stop", requestID: requestID) { environment in
            switch environment.state {
            case .running: .stopping
            case .stopping, .stopped: nil
            case .requested, .provisioning, .starting, .destroying, .destroyed, .error:
                throw Self.refusal(environment, "stopped")
            }
        }
    }

    /// Destroys a running, stopped or failed one, with its home. One that is being destroyed, or is destroyed, is
    /// returned as it is. Throws as ``requestStart(_:actor:requestID:)``.
    ///
    /// With `force` also one that is on its way to somewhere and stuck there, by way of `error`, and one whose
    /// destruction is stuck anew: whatever job is at it finds it moved. That is for admins (`forbidden`).
    @discardableResult
    package func requestDestroy(
        _ id: EnvironmentID, actor: AuditActor, requestID: String? = nil, force: Bool = false
    ) async throws -> Environment {
        if force { try await giveUp(id, actor: actor, requestID: requestID) }
        return try await request(id, actor: actor, action: "destroy", requestID: requestID) { environment in
            switch environment.state {
            case .running, .stopped, .error: .destroying
            case .destroying, .destroyed: nil
            case .requested, .provisioning, .starting, .stopping: throw Self.refusal(environment, "destroyed")
            }
        }
    }

    /// Moves one that is on its way to somewhere into `error`.
    private func giveUp(_ id: EnvironmentID, actor: AuditActor, requestID: String?) async throws {
        _ = try await request(id, actor: actor, action: "give_up", requestID: requestID) { environment in
            guard actor.kind != .user else {
                throw ServiceError(
                    .forbidden, "Environment \(environment.slug) not destroyed by force: that is for admins.",
                    hint: "Leave 'force' out, or ask an admin.")
            }
            return environment.state.isTransitional ? .error : nil
        }
    }

    /// Takes a failed one out of `error`: starts it if its provider ever made it, else destroys it, so that a new one
    /// can be made. One that is already on its way is returned as it is. Throws as
    /// ``requestStart(_:actor:requestID:)``.
    @discardableResult
    package func recover(_ id: EnvironmentID, actor: AuditActor, requestID: String? = nil) async throws -> Environment {
        try await request(id, actor: actor, action: "recover", requestID: requestID) { environment in
            switch environment.state {
            case .error: environment.providerInstanceID == nil ? .destroying : .starting
            case .starting, .running, .destroying: nil
            case .requested, .provisioning, .stopping, .stopped, .destroyed:
                throw Self.refusal(environment, "recovered")
            }
        }
    }

    /// Has what left it in `error` tried again: makes and starts it, or destroys it. Throws as
    /// ``requestStart(_:actor:requestID:)``, and `illegal_transition` for what has no such way back.
    func repeatFailed(
        _ action: EnvironmentAction, of id: EnvironmentID, actor: AuditActor, requestID: String?
    ) async throws -> Environment {
        try await request(id, actor: actor, action: "recover", requestID: requestID) { environment in
            guard environment.state == .error else { throw Self.refusal(environment, "recovered") }
            switch action {
            case .provision, .start: return .starting
            case .destroy: return .destroying
            case .stop, .reconcile:
                throw ServiceError(
                    .illegalTransition,
                    "A failed '\(action.rawValue)' of environment \(environment.slug) cannot be tried again.",
                    hint: "Recover the environment, then stop it; or destroy it.")
            }
        }
    }

    /// Asks a worker to compare the row with what the provider says, at most once a minute for each generation: for
    /// one who could not reach an environment that should be running. Returns the job's id. With an `actor` there is a
    /// line in the audit log.
    @discardableResult
    package func requestReconcile(
        _ environment: Environment, actor: AuditActor? = nil, requestID: String? = nil
    ) async throws -> String {
        let job = EnvironmentJob(
            environmentID: environment.id, userID: environment.userID, generation: environment.generation,
            requestID: requestID)
        let id = job.id(for: .reconcile) + "-\(Int(Date.now.timeIntervalSince1970) / 60)"
        try await outbox.add(OutboxJob(action: .reconcile, jobID: id, data: try job.json, policies: outbox.policies))
        if let actor {
            try await audit.record(
                "reconcile", actor: actor, environment: environment.id, user: environment.userID, requestID: requestID)
        }
        return id
    }

    /// Reads, decides and compares-and-sets until nobody was faster. `decide` names the next state, `nil` if the
    /// environment is fine as it is.
    private func request(
        _ id: EnvironmentID, actor: AuditActor, action: String, requestID: String?,
        _ decide: (Environment) throws -> EnvironmentState?
    ) async throws -> Environment {
        // A round is lost only when somebody else's move went through; this many in a row is a storm.
        for _ in 0..<10 {
            guard let environment = try await find(id) else { throw ServiceError.environmentNotFound("\(id)") }
            let moved: Environment? = try await auditingRefusal(
                action, of: id, owner: environment.userID, by: actor, requestID
            ) {
                guard let next = try decide(environment) else { return environment }
                if next == .starting { return try await start(environment, actor, action, requestID) }
                return try await move(
                    id, from: environment.state, generation: environment.generation, to: next,
                    change: EnvironmentChange(errorMessage: next == .error ? "Given up by \(actor)." : nil),
                    actor: actor, action: action, requestID: requestID)
            }
            if let moved { return moved }
        }
        throw ServiceError(
            .serviceUnavailable, "Environment \(id) changes faster than the request to \(action) it could follow.",
            hint: "Try again in a moment.")
    }

    /// The move into `starting`, in one transaction with the count of what its owner has running.
    private func start(
        _ environment: Environment, _ actor: AuditActor, _ action: String, _ requestID: String?
    ) async throws -> Environment? {
        try environment.state.check(moveTo: .starting)
        let move = try await ServiceError.translating("Environment \(environment.slug) not started") {
            try await database.withTransaction { connection -> CommittedMove? in
                let ledger = try await QuotaStore.ledger(of: environment.userID, on: connection, locking: true)
                // Somebody may have started it meanwhile: then it is among those that run, and has all it needs.
                let now = try await connection.query(
                    "SELECT generation FROM dev_environments WHERE id = \(environment.id)")
                guard try now.first?.decode("generation") == environment.generation else { return nil }
                try ledger.quota.checkStart(beside: ledger.usage)
                if let host = environment.hostID {
                    try await Placement.checkStart(of: environment, on: host, connection: connection)
                }
                return try await commitMove(
                    environment.id, from: environment.state, generation: environment.generation, to: .starting,
                    actor: actor, action: action, requestID: requestID, by: { try await connection.query($0) })
            }
        }
        guard let move else { return nil }
        await announce(move)
        return move.environment
    }

    private static func refusal(_ environment: Environment, _ participle: String) -> ServiceError {
        ServiceError(
            .illegalTransition,
            "Environment \(environment.slug) cannot be \(participle) while it is '\(environment.state.rawValue)'.",
            hint: environment.state.advice)
    }
}
