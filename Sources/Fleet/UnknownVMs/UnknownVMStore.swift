import PostgreSQL

/// The VMs that nobody knows, as the last comparison with each provider found them.
///
/// They are never destroyed by themselves: that a row is missing here does not say that nobody needs the machine. An
/// admin may have it done (``requestDestroy(provider:id:by:requestID:)``).
package struct UnknownVMStore: Sendable {
    let database: PostgresPool
    let environments: EnvironmentStore
    let outbox: Outbox

    /// Most that are kept of one provider: what comes beyond, by id, is not told.
    package static let capacity = 1_000

    /// By provider and id, at most 500; `after` continues after the last of a page.
    package func list(
        provider: String? = nil, limit: Int = 100, after: (provider: String, id: String)? = nil
    ) async throws -> [UnknownVM] {
        try await ServiceError.translating("Unknown VMs not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM unknown_vms
                WHERE provider = COALESCE(\(provider?.withoutNUL)::text, provider)
                    AND (provider, external_id) > (\(after?.provider.withoutNUL ?? "")::text, \(after?.id.withoutNUL ?? "")::text)
                ORDER BY provider, external_id LIMIT \(min(max(limit, 1), 500))
                """
            ).map(UnknownVM.init)
        }
    }

    package func find(provider: String, id: String) async throws -> UnknownVM? {
        try await ServiceError.translating("Unknown VM '\(id)' not read") {
            try await database.query(
                """
                SELECT \(raw: Self.columns) FROM unknown_vms
                WHERE provider = \(provider.withoutNUL) AND external_id = \(id.withoutNUL)
                """
            ).first.map(UnknownVM.init)
        }
    }

    /// How many there are of each provider that has any.
    package func counts() async throws -> [String: Int] {
        try await ServiceError.translating("Unknown VMs not counted") {
            let rows = try await database.query("SELECT provider, count(*) AS count FROM unknown_vms GROUP BY provider")
            var counts: [String: Int] = [:]
            for row in rows { counts[try row.decode("provider")] = try row.decode("count") }
            return counts
        }
    }

    /// Replaces what is known of a provider's unknown VMs by what a comparison has found, names by id, and returns those
    /// that are new.
    @discardableResult
    package func record(_ found: [String: String], of provider: String) async throws -> [UnknownVM] {
        let kept = found.sorted { $0.key < $1.key }.prefix(Self.capacity)
        return try await ServiceError.translating("Unknown VMs not recorded") {
            try await database.query(
                """
                WITH gone AS (
                    DELETE FROM unknown_vms
                    WHERE provider = \(provider) AND external_id <> ALL(\(kept.map(\.key))::text[])),
                recorded AS (
                    INSERT INTO unknown_vms (provider, external_id, name)
                    SELECT \(provider)::text, external_id, name
                    FROM unnest(\(kept.map(\.key))::text[], \(kept.map(\.value))::text[]) AS found (external_id, name)
                    ON CONFLICT (provider, external_id) DO UPDATE SET name = excluded.name, last_seen_at = now()
                    RETURNING *)
                SELECT \(raw: Self.columns) FROM recorded
                WHERE NOT EXISTS (
                    -- The statement sees the table as it was before.
                    SELECT FROM unknown_vms AS before
                    WHERE before.provider = recorded.provider AND before.external_id = recorded.external_id)
                ORDER BY external_id
                """
            ).map(UnknownVM.init)
        }
    }

    /// Takes one out that is gone, or that an environment has come to know.
    package func forget(provider: String, id: String) async throws {
        try await ServiceError.translating("Unknown VM '\(id)' not forgotten") {
            try await database.execute(
                "DELETE FROM unknown_vms WHERE provider = \(provider.withoutNUL) AND external_id = \(id.withoutNUL)")
        }
    }

    /// The living environment that such a VM belongs to: one that names it, or that it is named after.
    package func owner(ofVM id: String, name: String, provider: String) async throws -> Environment? {
        if let environment = try await environments.find(instance: id.withoutNUL, provider: provider.withoutNUL) {
            return environment
        }
        guard let named = EnvironmentID(vmName: name), let environment = try await environments.find(named),
            environment.provider == provider, environment.state != .destroyed
        else { return nil }
        return environment
    }

    // MARK: Destroying

    /// Has a worker destroy one, for admins: audit line and job in one statement. At most one job a minute for each VM,
    /// however often it is asked for.
    ///
    /// Throws `vm_not_found` if there is no such unknown VM, and `vm_known` if an environment knows it by now; that
    /// refusal is a line in the audit log. The worker asks once more.
    @discardableResult
    package func requestDestroy(
        provider: String, id: String, by actor: AuditActor, requestID: String? = nil
    ) async throws -> UnknownVM {
        guard let vm = try await find(provider: provider, id: id) else {
            throw ServiceError(
                .vmNotFound, "There is no unknown VM '\(id)' at provider '\(provider)'.",
                hint: "It may be gone, or an environment may know it by now: list them again.")
        }
        if let owner = try await owner(ofVM: id, name: vm.name, provider: provider) {
            try await forget(provider: provider, id: id)
            try await environments.audit.record(
                "unknown_vm.destroy", actor: actor, environment: owner.id, user: owner.userID, requestID: requestID,
                errorCode: ServiceError.Code.vmKnown.rawValue, detail: Self.detail(vm))
            throw ServiceError(
                .vmKnown, "VM '\(id)' of provider '\(provider)' not destroyed: it is that of \(owner.slug).",
                hint: "Destroy the environment, if that is what you want.")
        }
        let data = try UnknownVMJob(vm, requestID: requestID).json
        let job = try await ServiceError.translating("Destruction of unknown VM '\(id)' not queued") {
            try await database.query(
                """
                WITH queued AS (
                    INSERT INTO job_outbox (queue, name, job_id, data, attempts, backoff_ms)
                    SELECT \(EnvironmentAction.destroy.queue)::text, \(UnknownVMJob.name)::text,
                        'unknown-' || md5(\(provider + "/" + id)::text) || '-' || (extract(epoch FROM now())::bigint / 60),
                        \(data)::text, \(outbox.policies.control.attempts)::integer,
                        \(outbox.policies.control.backoffMs)::integer
                    ON CONFLICT (job_id) DO UPDATE SET data = excluded.data
                    RETURNING queue, name, job_id, data, attempts, backoff_ms),
                audited AS (
                    INSERT INTO environment_audit_log (actor_kind, actor_id, action, request_id, detail)
                    SELECT \(actor.kind)::text, \(actor.id)::text, 'unknown_vm.destroy', \(requestID)::text,
                        \(AuditLog.json(Self.detail(vm)))::jsonb
                    FROM queued)
                SELECT * FROM queued
                """
            ).first.map(OutboxJob.init)
        }
        await Task { await outbox.publish(job) }.value  // to its end although the caller may be cancelled
        return vm
    }

    private static func detail(_ vm: UnknownVM) -> [String: String] {
        ["provider": vm.provider, "vm": vm.externalID, "name": vm.name]
    }

    private static let columns = "provider, external_id, name, first_seen_at, last_seen_at"
}
