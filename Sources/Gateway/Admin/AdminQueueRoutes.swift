import Fleet
import HTTPTypes
import JobQueue

/// The queues and their jobs; those that failed are kept until somebody looks.
extension AdminRoutes {
    private static let queue = Schemas.wrapped("queue", Schema.reference("Queue"))

    /// Where jobs can be looked for.
    static let jobStates: [JobState] = [.waiting, .paused, .prioritized, .delayed, .active, .completed, .failed]

    var queues: [Route] {
        [
            route(
                .get, "/queues", "ListQueues", "The queues", query: [Self.follow],
                Self.live("queues", "", Schemas.list("queues", of: "Queue"))
            ) { call in
                try await call.respond(live: "queues") { [fleet = call.fleet] in
                    ["queues": try await fleet.queues.reports().map { QueueView($0) }]
                }
            },
            route(.get, "/queues/{queue}", "GetQueue", "One queue", .json("", Self.queue)) { call in
                let report = try await call.fleet.queues.report(call.named("queue"))
                try await call.exchange.respond(json: ["queue": QueueView(report)])
            },
            route(
                .post, "/queues/{queue}/pause", "PauseQueue", "Let no worker take a job until it is resumed",
                detail: "Running jobs end, new ones are added.", .json("As it is now.", Self.queue)
            ) { call in
                let report = try await call.fleet.queues.pause(
                    call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: ["queue": QueueView(report)])
            },
            route(
                .post, "/queues/{queue}/resume", "ResumeQueue", "Let workers take jobs again",
                .json("As it is now.", Self.queue)
            ) { call in
                let report = try await call.fleet.queues.resume(
                    call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: ["queue": QueueView(report)])
            },
            route(
                .post, "/queues/{queue}/drain", "DrainQueue", "Remove the jobs that wait",
                detail: "What an environment still waits for is added again by a sweep.",
                query: [.query("delayed", "Also those that wait for their time.", Schema.boolean(""))],
                .json("How many.", Schemas.wrapped("removed", Schema.integer("")))
            ) { call in
                let removed = try await call.fleet.queues.drain(
                    call.named("queue"), includingDelayed: try call.target.flag("delayed") ?? false, by: call.actor,
                    requestID: call.requestID)
                try await call.exchange.respond(json: ["removed": removed])
            },
            route(
                .post, "/queues/{queue}/retry", "RetryJobs", "Retry all failed jobs, the newest thousand at a time",
                .json(
                    "How many, and how many are left.",
                    Schema.view("", ["retried": Schema.integer(""), "left": Schema.integer("")]))
            ) { call in
                let done = try await call.fleet.queues.retryAll(
                    in: call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: ["retried": done.retried, "left": done.left])
            },
        ]
    }

    var jobs: [Route] {
        [
            route(
                .get, "/queues/{queue}/jobs", "ListJobs", "Jobs in a state, newest first",
                query: [
                    .query(
                        "state", "`failed` where nothing is said.", Schema.choice("", Self.jobStates.map(\.rawValue))),
                    .query("offset", "How many to pass over.", Schema.integer("", 0...1_000_000)),
                    .query("limit", "Most of them in this page; 50.", Schema.integer("", 1...200)),
                ],
                .json(
                    "A page.",
                    Schema.view(
                        "",
                        [
                            "jobs": Schema.array("", of: Schema.reference("Job")),
                            "total": Schema.integer("In this state."),
                            "nextOffset": Schema.integer("Null: there is no more.", isNullable: true),
                        ])), listJobs),
            route(
                .get, "/queues/{queue}/jobs/{job}", "GetJob", "One job with its data, its failures and its log",
                .json(
                    "",
                    Schema.view(
                        "",
                        [
                            "job": Schema.reference("Job"),
                            "logs": Schema.array("The newest, oldest first.", of: Schema.string("")),
                            "logCount": Schema.integer("Lines in all."),
                        ]))
            ) { call in
                struct Detail: Encodable {
                    let job: JobView
                    let logs: [String]
                    let logCount: Int
                }
                let detail = try await call.fleet.queues.job(call.named("job"), in: call.named("queue"))
                try await call.exchange.respond(
                    json: Detail(job: JobView(detail.job), logs: detail.logs, logCount: detail.logCount))
            },
            route(
                .post, "/queues/{queue}/jobs/{job}/retry", "RetryJob", "Have a failed job's work done again",
                detail: """
                    Its own environment is taken out of `error` for that, and the job which follows takes the place of \
                    the failed one.
                    """,
                .json("The id of the job that does it.", Schemas.wrapped("jobId", Schema.string(""))),
                errors: [.illegalTransition, .quotaExceeded, .hostUnavailable]
            ) { call in
                let id = try await call.fleet.queues.retry(
                    call.named("job"), in: call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: ["jobId": id])
            },
            route(
                .post, "/queues/{queue}/jobs/{job}/promote", "PromoteJob", "Let a delayed job run now",
                .json("As it is now.", Schemas.wrapped("job", Schema.reference("Job"))), errors: [.illegalTransition]
            ) { call in
                let detail = try await call.fleet.queues.promote(
                    call.named("job"), in: call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(json: ["job": JobView(detail.job)])
            },
            route(
                .delete, "/queues/{queue}/jobs/{job}", "DiscardJob", "Remove a job that no worker has",
                .empty(.noContent, "It is gone."), errors: [.illegalTransition]
            ) { call in
                try await call.fleet.queues.discard(
                    call.named("job"), in: call.named("queue"), by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(.noContent)
            },
        ]
    }

    @Sendable private func listJobs(_ call: AdminCall) async throws {
        struct Page: Encodable {
            let jobs: [JobView]
            let total: Int
            @Nullable var nextOffset: Int?
        }
        let state = try call.target.choice("state", of: Self.jobStates) ?? .failed
        let offset = try call.target.number("offset", 0...1_000_000) ?? 0
        let limit = try call.target.limit(1...200) ?? 50
        let page = try await call.fleet.queues.jobs(in: call.named("queue"), state, offset: offset, limit: limit)
        try await call.exchange.respond(
            json: Page(jobs: page.jobs.map { JobView($0) }, total: page.total, nextOffset: page.nextOffset))
    }
}
