import Foundation
import PostgreSQL

// What users and admins ask for. All of it is idempotent: asking for what is already so, or on its way, returns the
// environment as it is.
extension EnvironmentStore {
    /// The caller's own VM, made if there is none: the row, its audit line and the `provision` job in one transaction.
    /// However many ask at the same time, there is one. Size and limits are those of the tier the user has now.
    package func createUserVM(for caller: Caller, requestID: String?, provider: String) async throws -> Environment {
        if let living = try await userVM(of: caller.userID) { return living }
        let (environment, move) = try await ServiceError.translating("VM not created") {
            try await database.withTransaction { connection in
                // The row's lock makes those wait who ask at the same time, and everything else that counts what the
                // user has. The unique index on living user VMs is there should one forget it.
                let users = try await connection.query(
                    "SELECT tier FROM users WHERE id = \(caller.userID) AND suspended_at IS NULL FOR UPDATE")
                guard let user = users.first else {
                    throw ServiceError(
                        .forbidden, "VM not created: the user is suspended or gone.", hint: "Ask an admin.")
                }
                let living = try await Self.userVM(of: caller.userID) { try await connection.query($0) }
                if let living { return (living, CommittedMove?.none) }
                let rows = try await connection.query(
                    Self.creation(
                        of: .userVM, name: "vm", for: caller, tier: try user.decode("tier"), provider: provider,
                        requestID: requestID))
                guard let row = rows.first else {
                    throw ServiceError(
                        .internalError, "VM not created: the database returned no row.", hint: "Try again.")
                }
                let move = try CommittedMove(row: row)
                return (move.environment, move)
            }
        }
        if let move { await announce(move) }
        return environment
    }

    /// The row is born in `provisioning` at generation 1: nobody could see it `requested`, which its line in the audit
    /// log names as where it came from.
    private static func creation(
        of kind: Environment.Kind, name: String, for caller: Caller, tier: Tier, provider: String, requestID: String?
    ) -> SQL {
        let actor = AuditActor(caller)
        let follow = EnvironmentAction(entering: .provisioning)
        return """
            WITH moved AS (
                INSERT INTO dev_environments (id, user_id, kind, slug, name, state, generation, tier, vcpus, memory_mb,
                    disk_mb, processes, network, provider)
                VALUES (\(EnvironmentID()), \(caller.userID), \(kind), \(Slug.random()), \(name), 'provisioning', 1,
                    \(tier), \(tier.vcpus), \(tier.memoryMb), \(tier.diskMb), \(tier.processes), false, \(provider))
                RETURNING *),
            linked AS (
                INSERT INTO user_vms (id, user_id, environment_id)
                SELECT gen_random_uuid(), user_id, id FROM moved WHERE kind = 'user_vm'),
            audited AS (
                INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action,
                    from_state, to_state, generation, request_id)
                SELECT id, user_id, \(actor.kind)::text, \(actor.id)::text, 'create', 'requested', state, generation,
                    \(requestID)::text
                FROM moved),
            \(queued(follow, requestID))
            SELECT \(raw: columns), (SELECT data FROM queued) AS job_data FROM moved
            """
    }

    /// Starts a stopped one. One that is being made or started, or that runs, is returned as it is. Throws
    /// `environment_not_found`, and `illegal_transition` with a hint in all other states.
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
    @discardableResult
    package func requestDestroy(
        _ id: EnvironmentID, actor: AuditActor, requestID: String? = nil
    ) async throws -> Environment {
        try await request(id, actor: actor, action: "destroy", requestID: requestID) { environment in
            switch environment.state {
            case .running, .stopped, .error: .destroying
            case .destroying, .destroyed: nil
            case .requested, .provisioning, .starting, .stopping: throw Self.refusal(environment, "destroyed")
            }
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

    /// Asks a worker to compare the row with what the provider says, at most once a minute for each generation: for
    /// one who could not reach an environment that should be running. Returns the job's id.
    @discardableResult
    package func requestReconcile(_ environment: Environment, requestID: String? = nil) async throws -> String {
        let job = EnvironmentJob(
            environmentID: environment.id, userID: environment.userID, generation: environment.generation,
            requestID: requestID)
        let id = job.id(for: .reconcile) + "-\(Int(Date.now.timeIntervalSince1970) / 60)"
        try await outbox.add(OutboxJob(action: .reconcile, jobID: id, data: try job.json))
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
            guard let next = try decide(environment) else { return environment }
            let moved = try await move(
                id, from: environment.state, generation: environment.generation, to: next, actor: actor,
                action: action, requestID: requestID)
            if let moved { return moved }
        }
        throw ServiceError(
            .serviceUnavailable, "Environment \(id) changes faster than the request to \(action) it could follow.",
            hint: "Try again in a moment.")
    }

    private static func refusal(_ environment: Environment, _ participle: String) -> ServiceError {
        ServiceError(
            .illegalTransition,
            "Environment \(environment.slug) cannot be \(participle) while it is '\(environment.state.rawValue)'.",
            hint: environment.state.advice)
    }
}
