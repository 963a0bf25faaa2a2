import Fleet
import HTTPTypes

/// What is asked of a VM that is to be made, where its provider has a choice.
struct VMChoice: Sendable, Equatable {
    var flavor: String?
    var region: String?

    /// Nothing is asked by a body that is empty.
    static func decode(_ bytes: [UInt8]) throws(ServiceError) -> VMChoice {
        var choice = VMChoice()
        guard !bytes.isEmpty else { return choice }
        var reader = try JSONReader(bytes)
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            try reader.object { (reader: inout JSONReader, field: String) throws(ServiceError) in
                switch field {
                case "flavor": choice.flavor = try reader.null() ? nil : try reader.string()
                case "region": choice.region = try reader.null() ? nil : try reader.string()
                default:
                    throw reader.invalid("is not a known field", hint: "The body has flavor and region, or is empty.")
                }
            }
        }
        return choice
    }
}

/// `/v1/vm`: the caller's own VM.
struct VMRoutes: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration

    private struct Answer: Encodable { @Nullable var vm: VMView? }

    var routes: [Route] {
        [
            .authenticated(
                .get, "/v1/vm",
                RouteDescription(
                    id: "getVM", group: .vm, summary: "Your VM",
                    answers: [
                        .json(
                            "It, or null where there is none.",
                            Schemas.wrapped("vm", Schema.nullable(Schema.reference("VM"))))
                    ])
            ) { exchange, caller, _ in
                try await exchange.respond(json: Answer(vm: try await operations.vm(caller)))
            },
            .authenticated(
                .post, "/v1/vm",
                RouteDescription(
                    id: "createVM", group: .vm, summary: "Make your VM",
                    detail: "If there is none; the first run does so too.", parameters: [Idempotency.parameter],
                    body: .json(Schema.reference("NewVM"), example: [:], isRequired: false),
                    answers: [.json(.accepted, "A job does the rest.", Schemas.wrapped("vm", Schema.reference("VM")))],
                    errors: [.alreadyExists, .quotaExceeded] + Idempotency.errors)
            ) { exchange, caller, _ in
                let body = try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout)
                let choice = try VMChoice.decode(body)
                try await Idempotency(store: operations.environments.idempotency)
                    .answer(exchange, caller, .accepted, body: body, shown: { Answer(vm: $0) }) { keeper in
                        try await operations.createVM(caller, choice, exchange.id, keeper)
                    }
            },
            .authenticated(
                .delete, "/v1/vm",
                RouteDescription(
                    id: "destroyVM", group: .vm, summary: "Destroy your VM with its home",
                    detail: "The next run makes a new one.",
                    answers: [.json(.accepted, "A job does the rest.", Schemas.wrapped("vm", Schema.reference("VM")))],
                    errors: [.environmentNotFound, .illegalTransition])
            ) { exchange, caller, _ in
                try await accept(exchange, try await operations.destroyVM(caller, exchange.id))
            },
            .authenticated(
                .post, "/v1/vm/start",
                RouteDescription(
                    id: "startVM", group: .vm, summary: "Wake your VM",
                    detail: "Makes one where there is none, and recovers one that failed.",
                    answers: [.json(.accepted, "A job does the rest.", Schemas.wrapped("vm", Schema.reference("VM")))],
                    errors: [.illegalTransition, .quotaExceeded, .vmDestroyed])
            ) { exchange, caller, _ in
                try await accept(exchange, try await operations.startVM(caller, exchange.id))
            },
            .authenticated(
                .post, "/v1/vm/stop",
                RouteDescription(
                    id: "stopVM", group: .vm, summary: "Put your VM to sleep",
                    detail: "Its home stays.",
                    answers: [.json(.accepted, "A job does the rest.", Schemas.wrapped("vm", Schema.reference("VM")))],
                    errors: [.environmentNotFound, .illegalTransition, .vmDestroyed])
            ) { exchange, caller, _ in
                try await accept(exchange, try await operations.stopVM(caller, exchange.id))
            },
            .authenticated(
                .get, "/v1/flavors",
                RouteDescription(
                    id: "listFlavors", group: .vm, summary: "What the providers make, and where",
                    detail: "In the order of the providers: the first makes your VM.",
                    answers: [.json("Sizes are in GB.", Schema.reference("Offer"))], errors: [.serviceUnavailable])
            ) { exchange, caller, _ in
                try await exchange.respond(json: try await operations.catalog().offered(to: caller.tier))
            },
            .authenticated(
                .get, "/v1/vm/logs",
                RouteDescription(
                    id: "getVMLogs", group: .vm, summary: "What is done to your VM",
                    detail: "The newest 100 lines of the last hour.",
                    parameters: [ProvisionLogAnswer.follow], answers: [ProvisionLogAnswer.described])
            ) { exchange, caller, _ in
                try await ProvisionLogAnswer(
                    recent: { try await operations.provisionLog(caller) },
                    follow: { try await operations.followProvisionLog(caller, $0) }
                ).answer(exchange)
            },
        ]
    }

    /// A job does the rest.
    private func accept(_ exchange: Exchange, _ vm: VMView) async throws {
        try await exchange.respond(.accepted, json: Answer(vm: vm))
    }
}
