import Fleet
import HTTPTypes

/// The machines of everybody: what there is, why it is as it is, and whatever may be done to one.
extension AdminRoutes {
    private static let accepted = RouteDescription.Answer.json(
        .accepted, "A job does the rest.", Schemas.wrapped("vm", Schema.reference("AdminVM")))

    var vms: [Route] {
        [
            route(
                .get, "/vms", "ListVMs", "The VMs of everybody, newest first",
                query: [
                    .query("state", "One or more, between commas.", Schema.string("", example: "running,error")),
                    .query("provider", "", Schema.string("")),
                    .query("owner", "The name or id of their user.", Schema.string("")),
                    .query("tier", "", Schema.choice("", of: Tier.self)),
                    .query("host", "The name or id of the host they are on.", Schema.string("")),
                    .query("kind", "", Schema.choice("", of: Environment.Kind.self)),
                    .query("search", "What slug or name begin with.", Schema.string("")),
                    .query("destroyed", "Also those that are no more.", Schema.boolean("")),
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...200)),
                    .query("after", "The id of the last of the page before.", Schema.id("")), Self.follow,
                ], Self.live("vms", "A page.", Schemas.list("vms", of: "AdminVM")),
                errors: [.userNotFound, .hostNotFound],
                listVMs),
            route(
                .get, "/vms/{vm}", "GetVM", "One VM", .json("", Schemas.wrapped("vm", Schema.reference("AdminVM")))
            ) { call in try await call.respond(vm: try await call.environment()) },
            route(
                .get, "/vms/{vm}/why", "GetWakeReason", "Why a VM is awake, and until when",
                .json("", Schemas.wrapped("why", Schema.reference("WakeReason")))
            ) { call in
                let reason = try await call.fleet.environments.wakeReason(of: try await call.environment().id)
                try await call.exchange.respond(json: ["why": WakeReasonView(reason)])
            },
            route(
                .get, "/vms/{vm}/logs", "GetVMLogs", "What is done to a VM",
                detail: "The newest 100 lines of the last hour: how it is made, started, set up, stopped.",
                query: [ProvisionLogAnswer.follow], ProvisionLogAnswer.described
            ) { call in
                let id = try await call.environment().id
                try await ProvisionLogAnswer(call.fleet.provisionLog, of: id).answer(call.exchange)
            },
            route(
                .get, "/vms/{vm}/timeline", "GetTimeline", "What was done to a VM and run in it, newest first",
                query: [
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...200)),
                    .query("before", "The `next` of the page before.", Schema.string("")),
                ],
                .json(
                    "A page.",
                    Schema.view(
                        "",
                        [
                            "timeline": Schema.array("", of: Schema.reference("TimelineEvent")),
                            "next": Schema.string("Null: there is no more.", isNullable: true),
                        ]))
            ) { call in
                struct Page: Encodable {
                    let timeline: [TimelineEventView]
                    @Nullable var next: String?
                }
                let position = try call.target.identifier("before", Timeline.Position.init)
                let limit = try call.target.limit(1...200) ?? 100
                let page = try await call.fleet.timeline(
                    of: try await call.environment().id, limit: limit, before: position)
                try await call.exchange.respond(
                    json: Page(timeline: page.events.map { TimelineEventView($0) }, next: page.next?.description))
            },
        ] + changes + [destroy]
    }

    @Sendable private func listVMs(_ call: AdminCall) async throws {
        var filter = EnvironmentFilter()
        filter.states = try call.target.choices("state", of: EnvironmentState.self)
        filter.provider = call.target["provider"]
        filter.tier = try call.target.choice("tier")
        filter.kind = try call.target.choice("kind")
        filter.prefix = call.target["search"]
        filter.includesDestroyed = try call.target.flag("destroyed") ?? false
        let after = try call.target.identifier("after", EnvironmentID.init(_:))
        let limit = try call.target.limit(1...200) ?? 100
        if let owner = call.target["owner"] { filter.owner = try await call.user(owner).id }
        if let host = call.target["host"] { filter.host = try await call.host(host).id }
        try await call.respond(
            live: "vms",
            // Seconds pass; that is no change.
            comparing: { (answer: [String: [AdminVMView]]) in
                answer["vms"]?.map { $0.environment.with(runtimeSeconds: 0) }
            }
        ) { [filter] in
            let page = try await call.fleet.environments.search(filter, limit: limit, after: after)
            return ["vms": try await call.views(page)]
        }
    }

    private var changes: [Route] {
        let verbs: [(String, String, String, [ServiceError.Code])] = [
            ("start", "StartVM", "Wake a VM", [.quotaExceeded, .hostUnavailable]),
            ("stop", "StopVM", "Put a VM to sleep; its home stays", []),
            ("recover", "RecoverVM", "Take a VM out of `error`", [.quotaExceeded, .hostUnavailable]),
            ("reconcile", "ReconcileVM", "Compare a VM with what its provider says", []),
        ]
        return verbs.map { verb, id, summary, errors in
            route(
                .post, "/vms/{vm}/\(verb)", id, summary, Self.accepted, errors: [.illegalTransition] + errors
            ) { call in
                let environments = call.fleet.environments
                let environment = try await call.environment()
                let (id, actor, requestID) = (environment.id, call.actor, call.requestID)
                let changed =
                    switch verb {
                    case "start": try await environments.requestStart(id, actor: actor, requestID: requestID)
                    case "stop": try await environments.requestStop(id, actor: actor, requestID: requestID)
                    case "recover": try await environments.recover(id, actor: actor, requestID: requestID)
                    default: environment
                    }
                if verb == "reconcile" {
                    try await environments.requestReconcile(environment, actor: actor, requestID: requestID)
                }
                try await call.respond(.accepted, vm: changed)
            }
        }
    }

    private var destroy: Route {
        route(
            .delete, "/vms/{vm}", "DestroyVM", "Destroy a VM with its home",
            query: [
                .query("force", "Also one that is on its way from one state to another.", Schema.boolean(""))
            ], Self.accepted, errors: [.illegalTransition]
        ) { call in
            let isForced = try call.target.flag("force") ?? false
            let environment = try await call.environment()
            try await call.respond(
                .accepted,
                vm: try await call.fleet.environments.requestDestroy(
                    environment.id, actor: call.actor, requestID: call.requestID, force: isForced))
        }
    }
}
