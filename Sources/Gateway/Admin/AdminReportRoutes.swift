import Fleet
import HTTPTypes

/// The fleet at a glance, and who did what.
extension AdminRoutes {
    var reports: [Route] {
        [
            route(
                .get, "/stats", "GetStats", "The fleet at a glance", query: [Self.follow],
                Self.live("stats", "Counted now.", Schemas.wrapped("stats", Schema.reference("Stats")))
            ) { call in
                try await call.respond(live: "stats") { [fleet = call.fleet] in
                    [
                        "stats": StatsView(
                            try await fleet.stats(), perMinute: try await fleet.executions.perMinute(),
                            queues: try await fleet.queues.reports())
                    ]
                }
            },
            route(
                .get, "/samples", "ListSamples", "What the fleet was like",
                detail: "A sample a minute is kept for a week; told are at most 240, of stretches of the same length.",
                query: [.query("hours", "How far back; 24.", Schema.integer("", FleetSampleStore.hours))],
                .json(
                    "Oldest first.",
                    Schema.view(
                        "",
                        [
                            "stepMinutes": Schema.integer("How long a stretch is."),
                            "samples": Schema.array("", of: Schema.reference("FleetSample")),
                        ]))
            ) { call in
                struct Answer: Encodable {
                    let stepMinutes: Int
                    let samples: [FleetSampleView]
                }
                let hours = try call.target.number("hours", FleetSampleStore.hours) ?? 24
                let told = try await call.fleet.samples.list(hours: hours)
                try await call.exchange.respond(
                    json: Answer(stepMinutes: told.stepMinutes, samples: told.samples.map { FleetSampleView($0) }))
            },
            route(
                .get, "/audit", "SearchAudit", "Who did what, newest first",
                query: [
                    .query("user", "To whose account or VM it was done: a name or id.", Schema.string("")),
                    .query("vm", "To which: a slug or id.", Schema.string("")),
                    .query("actorKind", "", Schema.choice("", of: AuditActor.Kind.self)),
                    .query("actor", "A user's id, a worker's name, a part of the system.", Schema.string("")),
                    .query("action", "What the action begins with: `user.` finds `user.create`.", Schema.string("")),
                    .query("request", "The id of the request.", Schema.string("")),
                    .query("code", "The code of the error.", Schema.string("")),
                    .query("failed", "Only what was refused or failed, or only what was done.", Schema.boolean("")),
                    .query("since", "From this time on.", Schema.string("", format: "date-time")),
                    .query("until", "Before this time.", Schema.string("", format: "date-time")),
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...500)),
                    .query("before", "The id of the last of the page before.", Schema.integer("", 1...Int.max)),
                ],
                .json("A page.", Schemas.list("audit", of: "AuditEntry")),
                errors: [.userNotFound, .environmentNotFound], searchAudit),
        ]
    }

    @Sendable private func searchAudit(_ call: AdminCall) async throws {
        var filter = AuditFilter()
        filter.actorKind = try call.target.choice("actorKind")
        filter.actorID = call.target["actor"]
        filter.action = call.target["action"]
        filter.requestID = call.target["request"]
        filter.errorCode = call.target["code"]
        filter.hasError = try call.target.flag("failed")
        filter.since = try call.target.date("since")
        filter.until = try call.target.date("until")
        let before = try call.target.identifier("before") { Int64($0).flatMap { $0 > 0 ? $0 : nil } }
        let limit = try call.target.limit(1...500) ?? 100
        if let user = call.target["user"] { filter.user = try await call.user(user).id }
        if let vm = call.target["vm"] { filter.environment = try await call.environment(vm).id }
        let lines = try await call.fleet.audit.search(filter, limit: limit, before: before)
        try await call.exchange.respond(json: ["audit": lines.map { AuditView($0) }])
    }
}
