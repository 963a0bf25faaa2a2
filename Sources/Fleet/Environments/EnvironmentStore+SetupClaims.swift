import Foundation
import PostgreSQL

/// A setup that a worker is at: nobody else takes it up as long as it renews its claim.
package struct SetupClaim: Sendable, Hashable {
    package let environment: Environment
    let id: UUID
}

// A setup is due from the move into `running` on. A worker that takes it up claims it by putting that time off, over and
// over; if it dies, the setup is due again, and any worker that has the provider takes it up. Whatever moves the
// environment on ends claim and setup.
extension EnvironmentStore {
    /// Claims setups that are due in environments of these providers, those that have waited longest first, for
    /// `duration`.
    package func claimSetups(providers: [String], limit: Int, for duration: Duration) async throws -> [SetupClaim] {
        let id = UUID()
        return try await ServiceError.translating("Setups not claimed") {
            try await database.query(
                """
                UPDATE dev_environments SET setup_claim = \(id), setup_due_at = \(Self.later(by: duration))
                WHERE id IN (
                    SELECT id FROM dev_environments
                    WHERE setup_due_at <= now() AND state = 'running' AND provider = ANY(\(providers)::text[])
                    ORDER BY setup_due_at LIMIT \(Self.page(limit)) FOR NO KEY UPDATE SKIP LOCKED)
                RETURNING \(raw: Self.columns)
                """
            ).map { SetupClaim(environment: try Environment(row: $0), id: id) }
        }
    }

    /// Keeps a claim for another `duration`; `false` if it is lost: the setup is not to be gone on with.
    package func renew(_ claim: SetupClaim, for duration: Duration) async throws -> Bool {
        try await change(claim, "setup_due_at = \(Self.later(by: duration))")
    }

    /// Gives a setup back that was not carried out: to be taken up at once.
    package func release(_ claim: SetupClaim) async throws {
        _ = try await change(claim, "setup_claim = NULL, setup_due_at = now()")
    }

    /// Gives a setup back that could not be carried out: to be tried again when the machine has run for twice as long as
    /// it has now, in an hour at the latest.
    package func postpone(_ claim: SetupClaim) async throws {
        _ = try await change(
            claim,
            """
            setup_claim = NULL,
            setup_due_at = now() + LEAST(interval '1 h', GREATEST(interval '10 s', now() - state_changed_at))
            """)
    }

    /// Notes how a setup was carried out, with its line in the audit log. One that succeeded is not done again. One that
    /// failed, with an `errorCode`, is done again after the next start; until then `message` says why as the
    /// environment's ``Environment/errorMessage``. `false` if the claim was lost. If the setup has changed since, the new
    /// one is done after the next start.
    @discardableResult
    package func complete(
        _ claim: SetupClaim, by actor: AuditActor, errorCode: String?, message: String? = nil, duration: Duration,
        detail: [String: String]
    ) async throws -> Bool {
        let environment = claim.environment
        return try await ServiceError.translating("Setup of environment \(environment.id) not noted as done") {
            let rows = try await database.query(
                """
                WITH done AS (
                    UPDATE dev_environments SET setup_claim = NULL, setup_due_at = NULL, updated_at = now(),
                        initialized_at = CASE WHEN setup_version = \(environment.setupVersion)
                            AND \(errorCode == nil)::boolean THEN now() ELSE initialized_at END,
                        error_message = CASE WHEN setup_version = \(environment.setupVersion)
                            THEN \(errorCode == nil ? nil : message ?? "Its setup failed.")::text
                            ELSE error_message END
                    WHERE id = \(environment.id) AND setup_claim = \(claim.id)
                    RETURNING id, user_id),
                audited AS (
                    INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action,
                        error_code, duration_ms, detail)
                    SELECT id, user_id, \(actor.kind)::text, \(actor.id)::text, 'setup', \(errorCode)::text,
                        \(Int(duration / .milliseconds(1)))::bigint, \(AuditLog.json(detail))::jsonb
                    FROM done)
                SELECT id FROM done
                """)
            return !rows.isEmpty
        }
    }

    private func change(_ claim: SetupClaim, _ assignments: SQL) async throws -> Bool {
        try await ServiceError.translating("Claim of the setup of environment \(claim.environment.id) not changed") {
            try await database.execute(
                """
                UPDATE dev_environments SET \(assignments)
                WHERE id = \(claim.environment.id) AND setup_claim = \(claim.id)
                """) > 0
        }
    }

    private static func later(by duration: Duration) -> SQL {
        "now() + make_interval(secs => \(duration / .seconds(1))::double precision)"
    }
}
