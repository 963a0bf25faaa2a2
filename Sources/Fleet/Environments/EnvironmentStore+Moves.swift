import Logging
import PostgreSQL

/// A move that is committed: what must be told of it.
struct CommittedMove: Sendable {
    let environment: Environment
    let job: OutboxJob?
}

extension EnvironmentStore {
    /// The compare-and-set: moves the environment to `next` if it is still in `state` at `generation`, and writes the
    /// audit line and the job that follows with it. `nil`: somebody else has moved it; read it again.
    ///
    /// The generation grows by one. A setup is due with a move into `running`, and ends with any other. The run time is added up when the move ends a run. A move into `destroyed` wipes
    /// the secrets and lets the user have another VM. The line's duration is how long the environment was in the state
    /// it leaves, where that was one on its way: with what is done, how long it took since it was asked for. Throws
    /// `illegal_transition` if the state machine has no such move. Once committed it is told even if the caller is
    /// cancelled.
    package func move(
        _ id: EnvironmentID, from state: EnvironmentState, generation: Int, to next: EnvironmentState,
        change: EnvironmentChange = EnvironmentChange(), actor: AuditActor, action: String, requestID: String? = nil,
        detail: [String: String] = [:]
    ) async throws -> Environment? {
        try state.check(moveTo: next)
        let move = try await ServiceError.translating("Environment \(id) not moved to '\(next.rawValue)'") {
            try await commitMove(
                id, from: state, generation: generation, to: next, change: change, actor: actor, action: action,
                requestID: requestID, detail: detail, by: { try await database.query($0) })
        }
        guard let move else { return nil }
        await announce(move)
        return move.environment
    }

    /// Puts the job into Redis and tells the state, both to the end although the caller may be cancelled: others wait
    /// for them.
    func announce(_ move: CommittedMove) async {
        routes.forget(move.environment.userID)
        await Task {
            async let published: Void = outbox.publish(move.job)
            await signals.publish(move.environment)
            await published
        }.value
    }

    /// The move and nothing after it, as one statement for `query` to run: by itself, or in a transaction. It is made
    /// only where `condition`, on the row as it is, holds too.
    func commitMove(
        _ id: EnvironmentID, from state: EnvironmentState, generation: Int, to next: EnvironmentState,
        change: EnvironmentChange = EnvironmentChange(), actor: AuditActor, action: String, requestID: String?,
        detail: [String: String] = [:], where condition: SQL = "true", by query: (SQL) async throws -> [PostgresRow]
    ) async throws -> CommittedMove? {
        let follow = EnvironmentAction(entering: next)
        let message = next == .error ? change.errorMessage ?? "No reason was given." : nil
        // A run counts until the machine is known to have stopped.
        let endsRun = ![.running, .stopping, .destroying].contains(next)
        let rows = try await query(
            """
            WITH moved AS (
                UPDATE dev_environments SET
                    state = \(next), generation = generation + 1, state_changed_at = now(), updated_at = now(),
                    error_message = \(message),
                    provider_instance_id = COALESCE(\(change.providerInstanceID), provider_instance_id),
                    host = COALESCE(\(change.endpoint?.host), host),
                    ssh_port = COALESCE(\(change.endpoint?.port), ssh_port),
                    ssh_user = COALESCE(\(change.endpoint?.user), ssh_user),
                    runner_port = COALESCE(\(change.endpoint?.runnerPort), runner_port),
                    secrets = CASE WHEN \(next == .destroyed)::boolean THEN NULL ELSE secrets END,
                    setup = CASE WHEN \(next == .destroyed)::boolean THEN NULL ELSE setup END,
                    runtime_ms = runtime_ms + CASE WHEN \(endsRun)::boolean AND running_since IS NOT NULL
                        THEN GREATEST(0, extract(epoch FROM now() - running_since) * 1000)::bigint ELSE 0 END,
                    running_since = CASE WHEN \(next == .running)::boolean THEN now()
                        WHEN \(endsRun)::boolean THEN NULL ELSE running_since END,
                    last_started_at = CASE WHEN \(next == .running)::boolean THEN now() ELSE last_started_at END,
                    last_activity_at = CASE WHEN \(next == .running)::boolean THEN now() ELSE last_activity_at END,
                    setup_claim = NULL,
                    setup_due_at = CASE WHEN \(next == .running)::boolean AND initialized_at IS NULL
                        AND (has_init_script OR repository_url IS NOT NULL) THEN now() END,
                    last_stopped_at = CASE WHEN \(next == .stopped)::boolean THEN now() ELSE last_stopped_at END
                WHERE id = \(id) AND state = \(state) AND generation = \(generation) AND (\(condition))
                RETURNING *),
            begun AS (
                INSERT INTO environment_runs (environment_id, user_id, started_at)
                SELECT id, user_id, running_since FROM moved WHERE state = 'running'
                -- One whose end nobody wrote, a worker of an older version say: how long it was is not known.
                ON CONFLICT (environment_id) WHERE stopped_at IS NULL DO UPDATE SET started_at = excluded.started_at),
            ended AS (
                UPDATE environment_runs SET stopped_at = GREATEST(started_at, now()) FROM moved
                WHERE environment_id = moved.id AND stopped_at IS NULL AND \(endsRun)::boolean),
            audited AS (
                INSERT INTO environment_audit_log (environment_id, user_id, actor_kind, actor_id, action,
                    from_state, to_state, generation, request_id, error_code, duration_ms, detail)
                SELECT id, user_id, \(actor.kind)::text, \(actor.id)::text, \(action)::text,
                    \(state)::text, state, generation, \(requestID)::text,
                    CASE WHEN error_message IS NOT NULL THEN 'vm_failed' END,
                    -- The statement sees the row as it was before.
                    (SELECT GREATEST(0, extract(epoch FROM now() - before.state_changed_at) * 1000)::bigint
                        FROM dev_environments AS before
                        WHERE before.id = moved.id AND \(state.isTransitional)::boolean),
                    \(AuditLog.json(detail))::jsonb
                FROM moved),
            released AS (
                UPDATE user_vms SET destroyed_at = now() FROM moved
                WHERE environment_id = moved.id AND moved.state = 'destroyed'),
            \(queued(follow, requestID))
            SELECT \(raw: Self.columns), (SELECT data FROM queued) AS job_data FROM moved
            """)
        guard let row = rows.first else { return nil }
        return try CommittedMove(row: row, policies: outbox.policies)
    }

    /// The common table expression that writes the job that follows for the row of `moved`, if one does.
    func queued(_ action: EnvironmentAction?, _ requestID: String?) -> SQL {
        let policy = action.map { outbox.policies[$0] }
        return """
            queued AS (
                INSERT INTO job_outbox (queue, name, job_id, data, attempts, backoff_ms)
                SELECT \(action?.queue)::text, \(action?.rawValue)::text,
                    \(action?.rawValue)::text || '-' || id || '-' || generation,
                    json_build_object('environmentId', id, 'userId', user_id, 'generation', generation,
                        'requestId', \(requestID)::text)::text,
                    \(policy?.attempts ?? 1)::integer, \(policy?.backoffMs ?? 1)::integer
                FROM moved WHERE \(action != nil)::boolean
                RETURNING data)
            """
    }
}

extension CommittedMove {
    /// A row with the columns of an environment and `job_data`.
    init(row: PostgresRow, policies: JobPolicies) throws {
        environment = try Environment(row: row)
        let data: String? = try row.decode("job_data")
        if let data, let pending = environment.pendingJob {
            job = OutboxJob(action: pending.action, jobID: pending.id, data: data, policies: policies)
        } else {
            job = nil
        }
    }
}
