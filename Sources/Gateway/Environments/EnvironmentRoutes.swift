import Fleet
import HTTPTypes

/// `/v1/environments` and `/v1/quota`: the caller's own.
struct EnvironmentRoutes: Sendable {
    let operations: EnvironmentOperations
    let executions: ExecutionRoutes
    let configuration: GatewayConfiguration

    private struct One: Encodable { let environment: EnvironmentView }
    private struct List: Encodable { let environments: [EnvironmentView] }

    private static let slug = RouteDescription.Parameter.path("slug", "Its slug or id.", Schema.string(""))
    private static let accepted = RouteDescription.Answer.json(
        .accepted, "A job does the rest.", Schemas.wrapped("environment", Schema.reference("Environment")))

    var routes: [Route] {
        [list, create, find, update, destroy] + changes + [execute, log, why, audit, history, quota]
    }

    // MARK: All

    private var list: Route {
        .authenticated(
            .get, "/v1/environments",
            RouteDescription(
                id: "listEnvironments", group: .environments, summary: "Your environments, oldest first",
                detail: "Those that are not destroyed; your own VM is one of them.",
                parameters: [
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...200)),
                    .query("after", "The id of the last of the page before.", Schema.id("")),
                    .query(
                        "follow", "Live, as server-sent events `environments`, unless it is `0` or `false`.",
                        Schema.string("")),
                ],
                answers: [
                    .init(
                        status: .ok, summary: "A page.",
                        contents: [
                            .init(
                                type: "application/json", schema: Schemas.list("environments", of: "Environment")),
                            .init(type: "text/event-stream", schema: Schemas.serverSent(["environments"])),
                        ])
                ])
        ) { exchange, caller, _ in
            let after = try exchange.target.identifier("after", EnvironmentID.init(_:))
            let limit = try exchange.target.limit(1...200) ?? 100
            let read: @Sendable () async throws -> [EnvironmentView] = { [operations] in
                try await operations.list(caller, limit, after)
            }
            guard exchange.target.isSet("follow"), exchange.head.method == .get else {
                return try await exchange.respond(json: List(environments: try await read()))
            }
            try await LiveAnswer(event: "environments") {
                let environments = try await read()
                // Seconds pass; that is no change.
                let still = environments.map { $0.with(runtimeSeconds: 0) }
                return (List(environments: environments), try JSONView.encode(still))
            }.answer(exchange) { [operations] changed in try await operations.follow(caller, changed) }
        }
    }

    private var create: Route {
        .authenticated(
            .post, "/v1/environments",
            RouteDescription(
                id: "createEnvironment", group: .environments, summary: "Make an environment",
                detail: "Within your quota. Its variables are given to all that runs in it and never shown again.",
                parameters: [Idempotency.parameter],
                body: .json(
                    Schema.reference("NewEnvironment"),
                    example: ["name": "web", "environmentVars": ["GREETING": "hello"], "durationHours": 24]),
                answers: [Self.accepted],
                errors: [
                    .forbidden, .quotaExceeded, .limitExceeded, .providerUnknown, .noHostAvailable, .alreadyExists,
                ] + Idempotency.errors)
        ) { exchange, caller, _ in
            let body = try await exchange.jsonBody(upTo: EnvironmentBody.limit, within: configuration.bodyTimeout)
            let request = try EnvironmentBody.request(body, provider: configuration.provider)
            try await Idempotency(store: operations.idempotency).answer(
                exchange, caller, .accepted, body: body, shown: { One(environment: $0) }
            ) { keeper in
                try await operations.create(request, caller, exchange.id, keeper)
            }
        }
    }

    // MARK: One

    private var find: Route {
        .authenticated(
            .get, "/v1/environments/{slug}",
            RouteDescription(
                id: "getEnvironment", group: .environments, summary: "One environment", parameters: [Self.slug],
                answers: [.json("It.", Schemas.wrapped("environment", Schema.reference("Environment")))],
                errors: [.environmentNotFound])
        ) { exchange, caller, parameters in
            try await exchange.respond(
                json: One(environment: try await operations.find(parameters["slug"] ?? "", caller)))
        }
    }

    private var update: Route {
        .authenticated(
            .patch, "/v1/environments/{slug}",
            RouteDescription(
                id: "updateEnvironment", group: .environments, summary: "Change an environment",
                detail: """
                    Fields left out stay. Variables are replaced as a whole and given to runs that begin from now on; \
                    a new init script runs after the next start; `durationHours` counts from now, null is no end.
                    """,
                parameters: [Self.slug],
                body: .json(Schema.reference("EnvironmentChange"), example: ["name": "web", "durationHours": .null]),
                answers: [.json("As it is now.", Schemas.wrapped("environment", Schema.reference("Environment")))],
                errors: [.environmentNotFound, .illegalTransition, .vmDestroyed])
        ) { exchange, caller, parameters in
            let body = try await exchange.jsonBody(upTo: EnvironmentBody.limit, within: configuration.bodyTimeout)
            let update = try EnvironmentBody.update(body)
            let changed = try await operations.update(parameters["slug"] ?? "", update, caller, exchange.id)
            try await exchange.respond(json: One(environment: changed))
        }
    }

    private var destroy: Route {
        .authenticated(
            .delete, "/v1/environments/{slug}",
            RouteDescription(
                id: "destroyEnvironment", group: .environments, summary: "Destroy an environment with its home",
                parameters: [Self.slug], answers: [Self.accepted], errors: [.environmentNotFound, .illegalTransition])
        ) { exchange, caller, parameters in try await change(.destroy, exchange, caller, parameters) }
    }

    private var changes: [Route] {
        let verbs: [(EnvironmentVerb, String, String, [ServiceError.Code])] = [
            (.start, "startEnvironment", "Wake an environment", [.quotaExceeded, .hostUnavailable]),
            (.stop, "stopEnvironment", "Put an environment to sleep; its home stays", []),
            (
                .recover, "recoverEnvironment", "Take an environment out of `error`",
                [.quotaExceeded, .hostUnavailable]
            ),
        ]
        return verbs.map { verb, id, summary, errors in
            .authenticated(
                .post, "/v1/environments/{slug}/\(verb.rawValue)",
                RouteDescription(
                    id: id, group: .environments, summary: summary, parameters: [Self.slug],
                    answers: [Self.accepted], errors: [.environmentNotFound, .illegalTransition] + errors)
            ) { exchange, caller, parameters in try await change(verb, exchange, caller, parameters) }
        }
    }

    private func change(
        _ verb: EnvironmentVerb, _ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters
    ) async throws {
        let changed = try await operations.change(verb, parameters["slug"] ?? "", caller, exchange.id)
        try await exchange.respond(.accepted, json: One(environment: changed))
    }

    // MARK: What happens in it

    private var execute: Route {
        .authenticated(
            .post, "/v1/environments/{slug}/execute",
            ExecutionRoutes.execution(
                id: "executeInEnvironment", group: .environments,
                summary: "Run a snippet in an environment, waking it", parameters: [Self.slug])
        ) { exchange, caller, parameters in
            try await executions.execute(exchange, caller, in: parameters["slug"])
        }
    }

    private var log: Route {
        .authenticated(
            .get, "/v1/environments/{slug}/logs",
            RouteDescription(
                id: "getEnvironmentLogs", group: .environments, summary: "What is done to an environment",
                detail: "The newest 100 lines of the last hour: how it is made, started, set up, stopped.",
                parameters: [Self.slug, ProvisionLogAnswer.follow], answers: [ProvisionLogAnswer.described],
                errors: [.environmentNotFound])
        ) { exchange, caller, parameters in
            try await operations.log(parameters["slug"] ?? "", caller).answer(exchange)
        }
    }

    private var why: Route {
        .authenticated(
            .get, "/v1/environments/{slug}/why",
            RouteDescription(
                id: "getWakeReason", group: .environments, summary: "Why an environment is awake, and until when",
                parameters: [Self.slug],
                answers: [.json("", Schemas.wrapped("why", Schema.reference("WakeReason")))],
                errors: [.environmentNotFound])
        ) { exchange, caller, parameters in
            try await exchange.respond(json: ["why": try await operations.why(parameters["slug"] ?? "", caller)])
        }
    }

    private var audit: Route {
        .authenticated(
            .get, "/v1/environments/{slug}/audit",
            RouteDescription(
                id: "getEnvironmentAudit", group: .environments,
                summary: "What was done to an environment, and by whom",
                parameters: [
                    Self.slug, .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...500)),
                    .query("before", "The id of the last of the page before.", Schema.integer("", 1...Int.max)),
                ],
                answers: [.json("Newest first.", Schemas.list("audit", of: "AuditEntry"))],
                errors: [.environmentNotFound])
        ) { exchange, caller, parameters in
            struct Lines: Encodable { let audit: [AuditView] }
            let before = try exchange.target.identifier("before") { Int64($0).flatMap { $0 > 0 ? $0 : nil } }
            let limit = try exchange.target.limit(1...500) ?? 100
            let lines = try await operations.audit(parameters["slug"] ?? "", caller, limit, before)
            try await exchange.respond(json: Lines(audit: lines))
        }
    }

    private var history: Route {
        .authenticated(
            .get, "/v1/environments/{slug}/executions",
            RouteDescription(
                id: "listEnvironmentExecutions", group: .environments, summary: "What was run in an environment",
                parameters: [
                    Self.slug, .query("limit", "Most of them in this page; 50.", Schema.integer("", 1...200)),
                    .query("before", "The id of the last of the page before.", Schema.id("")),
                ],
                answers: [.json("Newest first.", Schemas.list("executions", of: "Execution"))],
                errors: [.environmentNotFound])
        ) { exchange, caller, parameters in
            struct Runs: Encodable { let executions: [ExecutionView] }
            let before = try exchange.target.identifier("before", ExecutionID.init(_:))
            let limit = try exchange.target.limit(1...200) ?? 50
            let runs = try await operations.executions(parameters["slug"] ?? "", caller, limit, before)
            try await exchange.respond(json: Runs(executions: runs))
        }
    }

    private var quota: Route {
        .authenticated(
            .get, "/v1/quota",
            RouteDescription(
                id: "getQuota", group: .account, summary: "What you may have, and have",
                answers: [
                    .json("Null is without limit.", Schemas.wrapped("quota", Schema.reference("Quota")))
                ])
        ) { exchange, caller, _ in
            struct Answer: Encodable { let quota: QuotaView }
            try await exchange.respond(json: Answer(quota: try await operations.quota(caller)))
        }
    }
}
