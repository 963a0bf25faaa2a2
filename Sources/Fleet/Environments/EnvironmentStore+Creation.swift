import Foundation
import PostgreSQL

extension EnvironmentStore {
    /// A new environment of the caller's: row, audit line and `provision` job in one transaction, and in it the
    /// user's quota is counted and a host found, if the provider needs one.
    ///
    /// Throws `invalid_request`, `limit_exceeded`, `quota_exceeded`, `no_host_available`, `forbidden` for a user who
    /// is suspended. A refusal is a line in the audit log. `keeper` keeps the answer in the same transaction, here and
    /// below; it throws `idempotency_conflict`.
    @discardableResult
    package func create(
        _ request: EnvironmentRequest, for caller: Caller, requestID: String?,
        keeper: IdempotencyStore.Keeper<Environment>? = nil
    ) async throws -> Environment {
        try await auditingRefusal("create", of: nil, owner: caller.userID, by: AuditActor(caller), requestID) {
            try request.check()
            let move = try await ServiceError.translating("Environment not created") {
                try await database.withTransaction { connection in
                    let ledger = try await Self.lockedLedger(of: caller, on: connection)
                    let move = try await insert(
                        request, kind: .environment, for: caller, ledger: ledger, requestID: requestID, on: connection)
                    try await keeper?.keep(move.environment, on: connection)
                    return move
                }
            }
            await announce(move)
            return move.environment
        }
    }

    /// The caller's own VM, made if there is none, as ``create(_:for:requestID:)`` does. However many ask at the same
    /// time, there is one. Size and limits are those of the tier the user has now.
    package func createUserVM(
        for caller: Caller, requestID: String?, provider: String, flavor: String? = nil, region: String? = nil,
        keeper: IdempotencyStore.Keeper<Environment>? = nil
    ) async throws -> Environment {
        if keeper == nil, let living = try await userVM(of: caller.userID) { return living }
        var request = EnvironmentRequest(name: "vm", provider: provider)
        (request.flavor, request.region) = (flavor, region)
        return try await auditingRefusal("create", of: nil, owner: caller.userID, by: AuditActor(caller), requestID) {
            [request] in
            try request.check()
            let (environment, move) = try await ServiceError.translating("VM not created") {
                try await database.withTransaction { connection in
                    let ledger = try await Self.lockedLedger(of: caller, on: connection)
                    // The unique index on living user VMs is there should somebody forget the lock.
                    let living = try await Self.userVM(of: caller.userID) { try await connection.query($0) }
                    if let living {
                        try await keeper?.keep(living, on: connection)
                        return (living, CommittedMove?.none)
                    }
                    let move = try await insert(
                        request, kind: .userVM, for: caller, ledger: ledger, requestID: requestID, on: connection)
                    try await keeper?.keep(move.environment, on: connection)
                    return (move.environment, move)
                }
            }
            if let move { await announce(move) }
            return environment
        }
    }

    /// The user's account, with everybody waiting who would change it.
    private static func lockedLedger(
        of caller: Caller, on connection: PostgresConnection
    ) async throws -> QuotaStore.Ledger {
        let refusal = ServiceError(
            .forbidden, "Environment not created: the user is suspended or gone.", hint: "Ask an admin.")
        do {
            let ledger = try await QuotaStore.ledger(of: caller.userID, on: connection, locking: true)
            guard !ledger.isSuspended else { throw refusal }
            return ledger
        } catch let error as ServiceError where error.code == .userNotFound {
            throw refusal
        }
    }

    /// Counts and inserts. The row is born in `provisioning` at generation 1: nobody could see it `requested`, which
    /// its line in the audit log names as where it came from.
    private func insert(
        _ request: EnvironmentRequest, kind: Environment.Kind, for caller: Caller, ledger: QuotaStore.Ledger,
        requestID: String?, on connection: PostgresConnection
    ) async throws -> CommittedMove {
        let tier = ledger.tier
        let size = try request.size(in: tier)
        try ledger.quota.checkRoom(for: size, beside: ledger.usage)
        try ledger.quota.checkStart(beside: ledger.usage)
        let needsHost = Placement.providers.contains(request.provider)
        let host = needsHost ? try await Placement.place(size, on: connection) : nil
        let id = EnvironmentID()
        let actor = AuditActor(caller)
        let sealed = request.setup == EnvironmentSetup() ? nil : try seal(request.setup, of: id)
        let rows = try await connection.query(
            """
            WITH moved AS (
                INSERT INTO dev_environments (id, user_id, kind, slug, name, state, generation, tier, vcpus, memory_mb,
                    disk_mb, processes, network, provider, flavor, region, host_id, expires_at, setup,
                    has_init_script, variable_names, repository_url)
                VALUES (\(id), \(caller.userID), \(kind), \(Slug.random()), \(request.name), 'provisioning', 1,
                    \(tier), \(size.vcpus), \(size.memoryMb), \(size.diskMb), \(tier.processes), \(ledger.quota.network == .egress),
                    \(request.provider), \(request.flavor), \(request.region), \(host),
                    now() + make_interval(hours => \(request.durationHours)), \(sealed),
                    \(request.initScript != nil), \(request.variables.keys.sorted()),
                    \(request.repository?.displayURL))
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
            \(queued(EnvironmentAction(entering: .provisioning), requestID))
            SELECT \(raw: Self.columns), (SELECT data FROM queued) AS job_data FROM moved
            """)
        guard let row = rows.first else {
            throw ServiceError(
                .internalError, "Environment not created: the database returned no row.", hint: "Try again.")
        }
        return try CommittedMove(row: row, policies: outbox.policies)
    }
}
