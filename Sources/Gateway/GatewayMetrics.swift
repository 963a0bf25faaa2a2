package import Execution
package import Fleet
import HTTPTypes
import JobQueue
import PostgreSQL
import Redis
package import Telemetry

/// What a gateway counts.
struct GatewayMetrics: Sendable {
    let requests: MetricFamily
    let requestSeconds: MetricFamily
    let calls: MetricFamily
    let callSeconds: MetricFamily

    init(_ registry: MetricRegistry) {
        requests = registry.counter(
            "martlet_http_requests_total", help: "Requests answered; status 'none' where the client left before.",
            labels: ["method", "route", "status"])
        requestSeconds = registry.histogram(
            "martlet_http_request_seconds", help: "From a request's head to the last byte of its answer.",
            labels: ["route"], bounds: MetricFamily.secondsBounds)
        calls = registry.counter(
            "martlet_trpc_calls_total",
            help: """
                Calls of tRPC, by 'ok' or the name of their error; 'cut' where nobody waited for the end any more or the \
                gateway was shut down. Procedure 'none': there is no such.
                """,
            labels: ["procedure", "outcome"])
        callSeconds = registry.histogram(
            "martlet_trpc_call_seconds", help: "What calls of tRPC took that were not refused at once.",
            labels: ["procedure"], bounds: MetricFamily.secondsBounds)
    }

    /// `route` is a template: what the client chose freely is in no label.
    func answered(_ exchange: Exchange, route: String, took duration: Duration) {
        let method = exchange.head.method
        let isKnown = [.get, .head, .post, .put, .patch, .delete, .options].contains(method)
        requests.increment(
            isKnown ? method.rawValue : "other", route, exchange.status.map { String($0.code) } ?? "none")
        requestSeconds.observe(duration, route)
    }

    /// `procedure` is one that there is, or `nil`.
    func refused(_ fault: TRPCFault, procedure: String?) {
        calls.increment(procedure ?? "none", fault.code.rawValue)
    }

    /// Has `body` answer a call, and counts how that ended.
    func counting<Result>(_ procedure: String, _ body: () async throws -> Result) async throws -> Result {
        let start = ContinuousClock.now
        func count(_ outcome: String) {
            calls.increment(procedure, outcome)
            callSeconds.observe(.now - start, procedure)
        }
        do {
            let result = try await body()
            count("ok")
            return result
        } catch let error where error is ClientLeft || error is CancellationError {
            count("cut")
            throw error
        } catch {
            count(TRPCFault(describing: error).code.rawValue)
            throw error
        }
    }
}

extension MetricRegistry {
    /// What executions tell of themselves.
    package func executionObserver() -> ExecutionObserver {
        let stages = histogram(
            "martlet_execution_stage_seconds",
            help: """
                Time a run spent on its way to its first output: admitted (until its first word), queued, starting, \
                connecting, first_output (from the program's start).
                """,
            labels: ["stage", "start"], bounds: MetricFamily.secondsBounds)
        let starts = histogram(
            "martlet_execution_start_seconds", help: "From a run's admission to the start of its program.",
            labels: ["start"], bounds: MetricFamily.secondsBounds)
        let outcomes = counter(
            "martlet_executions_total",
            help: "Runs that ended, by the reason of their exit or the code of their error.",
            labels: ["language", "outcome"])
        return ExecutionObserver(
            stage: { stage, duration, isCold in
                if stage == .started {
                    starts.observe(duration, isCold ? "cold" : "warm")
                } else {
                    stages.observe(duration, stage.rawValue, isCold ? "cold" : "warm")
                }
            },
            ended: { language, outcome in outcomes.increment(language, outcome) })
    }

    /// Gauges of a gateway's own.
    package func collect(from execution: ExecutionService) {
        collect("executions") {
            [
                Sample("martlet_executions_open", help: "Runs under way here.", Double(execution.executionsRunning)),
                Sample(
                    "martlet_ssh_sessions", help: "SSH sessions to VMs that are kept here.",
                    Double(await execution.sessionsOpen)),
            ]
        }
    }

    /// Gauges of the servers that all processes share, as seen from this one.
    package func collect(from fleet: Fleet) {
        collect("postgresql") {
            let pool = fleet.database.statistics
            let help = "Connections of this process."
            return [
                Sample("martlet_postgresql_connections", help: help, labels: [("state", "idle")], Double(pool.idle)),
                Sample(
                    "martlet_postgresql_connections", help: help, labels: [("state", "lent")],
                    Double(pool.open - pool.idle)),
                Sample("martlet_postgresql_waiting", help: "Callers that wait for one.", Double(pool.waiting)),
            ]
        }
        collect("redis") {
            [
                Sample(
                    "martlet_redis_commands_pending", help: "Commands sent by this process and not answered yet.",
                    Double(await fleet.redis.pendingCommands()))
            ]
        }
        for queue in [fleet.provisionQueue, fleet.controlQueue] {
            collect("queue \(queue.name)") {
                try await queue.counts().sorted { $0.key.rawValue < $1.key.rawValue }.map { state, count in
                    Sample(
                        "martlet_queue_jobs", help: "Jobs in a queue.",
                        labels: [("queue", queue.name), ("state", state.rawValue)], Double(count))
                }
            }
        }
        // Counted over whole tables: once in half a minute.
        collect("fleet", freshness: .seconds(30)) {
            let stats = try await fleet.stats()
            return EnvironmentState.allCases.filter { $0 != .destroyed }.map { state in
                Sample(
                    "martlet_environments", help: "Environments that are not destroyed.",
                    labels: [("state", state.rawValue)], Double(stats.environmentsByState[state] ?? 0))
            }
                + HostState.allCases.map { state in
                    Sample(
                        "martlet_hosts", help: "Hosts that environments are placed on.",
                        labels: [("state", state.rawValue)], Double(stats.hostsByState[state] ?? 0))
                }
                + [Sample("martlet_users", help: "Users, suspended ones too.", Double(stats.users))]
        }
        collect("unknown VMs") {
            try await fleet.unknownVMs.counts().sorted { $0.key < $1.key }.map { provider, count in
                Sample(
                    "martlet_unknown_vms", help: "VMs that a provider has and no environment knows.",
                    labels: [("provider", provider)], Double(count))
            }
        }
        collect("outbox") {
            let backlog = try await fleet.outbox.backlog()
            return [
                Sample("martlet_outbox_jobs", help: "Jobs not yet handed to a queue.", Double(backlog.count)),
                Sample("martlet_outbox_age_seconds", help: "Age of the oldest of them.", backlog.oldestSeconds),
            ]
        }
    }
}
