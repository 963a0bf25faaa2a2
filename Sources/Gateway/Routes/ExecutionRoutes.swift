import Execution
import Fleet
import HTTPTypes
import NIOCore

/// `/v1/execute` and `/v1/executions`.
struct ExecutionRoutes: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration
    let budget: BufferBudget

    /// Most bytes of stdin handed on at once.
    static let stdinChunk = 65_536

    var routes: [Route] {
        [
            .authenticated(
                .post, "/v1/execute",
                Self.execution(
                    id: "execute", group: .executions, summary: "Run a snippet in your VM, waking or making it")
            ) { exchange, caller, _ in
                try await execute(exchange, caller)
            },
            .authenticated(
                .get, "/v1/executions",
                RouteDescription(
                    id: "listExecutions", group: .executions, summary: "Your executions, newest first",
                    parameters: [
                        .query("limit", "Most of them in this page; 50.", Schema.integer("", 1...200)),
                        .query("before", "The last of the page before.", Schema.id("")),
                    ],
                    answers: [.json("A page.", Schemas.list("executions", of: "Execution"))])
            ) { exchange, caller, _ in try await list(exchange, caller) },
            .authenticated(
                .get, "/v1/executions/{id}",
                RouteDescription(
                    id: "getExecution", group: .executions, summary: "One execution",
                    detail: "With the first 64 KiB each of its code, stdout and stderr.",
                    parameters: [Self.idParameter],
                    answers: [.json("It.", Schemas.wrapped("execution", Schema.reference("Execution")))],
                    errors: [.executionNotFound])
            ) { exchange, caller, parameters in
                try await show(exchange, caller, try identifier(parameters))
            },
            .authenticated(
                .delete, "/v1/executions/{id}",
                RouteDescription(
                    id: "cancelExecution", group: .executions, summary: "Kill a running execution",
                    detail: "Its stream ends with the reason `cancelled`.", parameters: [Self.idParameter],
                    answers: [.empty(.accepted, "It is being killed.")],
                    errors: [.executionNotFound, .executionNotRunning])
            ) { exchange, caller, parameters in
                try await operations.cancel(try identifier(parameters), caller)
                try await exchange.respond(.accepted)
            },
            .authenticated(
                .post, "/v1/executions/{id}/stdin",
                RouteDescription(
                    id: "writeStdin", group: .executions, summary: "Give bytes to a running program",
                    detail: "Of any length, taken as fast as the program reads.",
                    parameters: [
                        Self.idParameter,
                        .query(
                            "end", "Closes its stdin afterwards, unless it is `0` or `false`.", Schema.string("")),
                    ], body: .bytes, answers: [.empty(.noContent, "They are on their way.")],
                    errors: [.executionNotFound, .executionNotRunning])
            ) { exchange, caller, parameters in
                try await stdin(exchange, caller, try identifier(parameters))
            },
        ]
    }

    private static let idParameter = RouteDescription.Parameter.path("id", "The execution's id.", Schema.id(""))

    static func execution(
        id: String, group: RouteDescription.Group, summary: String, parameters: [RouteDescription.Parameter] = []
    ) -> RouteDescription {
        RouteDescription(
            id: id, group: group, summary: summary,
            detail: """
                `Accept` chooses the form of the answer. NDJSON and server-sent events are answered with 200 before the \
                run, so that what fails then is an `error` event. To leave is to cancel.
                """, parameters: parameters,
            body: .json(Schema.reference("ExecuteRequest"), example: ["language": "python", "code": "print(6 * 7)"]),
            answers: [
                .init(
                    status: .ok, summary: "The run.",
                    contents: [
                        .init(
                            type: StreamEncoding.ndjson.rawValue, schema: ["type": "string"],
                            example: .string(
                                #"{"event":"started","executionId":"4bf83d8a-7c1f-4b7e-9d54-0f3a2f1c9b10","#
                                    + #""network":"none"}"# + "\n"
                                    + #"{"event":"stdout","seq":1,"data":"42\n"}"# + "\n"
                                    + #"{"event":"exit","exitCode":0,"signal":null,"reason":"exited","stage":"run","#
                                    + #""durationMs":11.2,"cpuMs":8.4,"maxRssBytes":9879552,"truncated":false}"# + "\n")
                        ),
                        .init(
                            type: StreamEncoding.sse.rawValue,
                            schema: Schemas.serverSent([
                                "status", "started", "stdout", "stderr", "keepalive", "exit", "error",
                            ])),
                        .init(type: StreamEncoding.text.rawValue, schema: ["type": "string"]),
                        .init(type: StreamEncoding.json.rawValue, schema: Schema.reference("ExecutionResult")),
                    ],
                    headers: [
                        ("Martlet-Execution-Id", "The execution's id, from the first byte on.")
                    ])
            ],
            errors: [
                .notAcceptable, .forbidden, .quotaExceeded, .environmentNotFound, .vmDestroyed, .limitExceeded,
                .unknownLanguage, .runtimeUnavailable, .tooManyExecutions, .vmFailed, .vmUnreachable, .hostKeyMismatch,
                .executionLost, .vmStartTimeout, .illegalTransition, .networkDenied, .networkUnavailable,
            ])
    }

    // MARK: Running

    /// - Parameter environment: the one of the path, if that names one.
    func execute(_ exchange: Exchange, _ caller: Caller, in environment: String? = nil) async throws {
        guard let encoding = StreamEncoding.negotiated(accept: exchange.head.headerFields[.accept]) else {
            throw ServiceError(
                .notAcceptable, "None of the media types asked for can be given.",
                hint: "Accept one of: \(StreamEncoding.allCases.map(\.rawValue).joined(separator: ", ")).")
        }
        let body = try await exchange.jsonBody(upTo: configuration.bodyLimit, within: configuration.bodyTimeout)
        var request = try ExecuteBody.decode(body)
        if let environment {
            guard request.environment.map({ $0 == environment }) ?? true else {
                throw ServiceError(
                    .invalidRequest, "'environment' is another one than the path's.", hint: "Leave it out.")
            }
            request.environment = environment
        }
        if encoding == .json {
            try Self.checkOutputLimit(of: request, fits: configuration.bufferedOutputLimit)
            request.stdin = request.stdin ?? []  // nobody learns the id in time to send any
        }
        try await exchange.whileClientListens { [request, operations, budget] in
            try await operations.execute(request, caller, exchange.id) { id, events in
                switch encoding {
                case .ndjson: try await EventResponse.answer(exchange, id, events, as: .ndjson)
                case .sse: try await EventResponse.answer(exchange, id, events, as: .sse)
                case .text: try await PlainResponse.answer(exchange, id, events)
                case .json: try await BufferedResponse.answer(exchange, id, events, within: budget)
                }
            }
        }
    }

    /// A document is held in memory until the run has ended.
    static func checkOutputLimit(of request: ExecutionRequest, fits limit: Int) throws(ServiceError) {
        guard let asked = request.limits.outputBytes else { return }
        guard asked <= limit else {
            throw ServiceError(
                .limitExceeded, "'limits.outputBytes' is \(asked); one JSON document holds at most \(limit).",
                hint: "Ask for less, or for a stream: 'Accept: \(StreamEncoding.ndjson.rawValue)'.")
        }
    }

    // MARK: Standard input

    private func stdin(_ exchange: Exchange, _ caller: Caller, _ id: ExecutionID) async throws {
        let ends = exchange.target.isSet("end")
        try await exchange.whileClientSends { [operations, configuration] in
            var isEmpty = true
            while var buffer = try await exchange.bodyBytes(within: configuration.inputTimeout) {
                // Each call returns when the bytes are on their way into the VM: the client is read no faster.
                while let chunk = buffer.readBytes(length: min(buffer.readableBytes, Self.stdinChunk)), !chunk.isEmpty {
                    try await operations.writeStdin(id, chunk, false, caller)
                    isEmpty = false
                }
            }
            // Also for nothing at all: an execution that is not there is not found.
            if ends || isEmpty { try await operations.writeStdin(id, [], ends, caller) }
        }
        try await exchange.respond(.noContent)
    }

    // MARK: History

    private func list(_ exchange: Exchange, _ caller: Caller) async throws {
        let limit = try exchange.target.limit(1...200)
        let before = try exchange.target.identifier("before", ExecutionID.init(_:))
        struct List: Encodable { let executions: [ExecutionView] }
        try await exchange.respond(json: List(executions: try await operations.executions(caller, limit ?? 50, before)))
    }

    private func show(_ exchange: Exchange, _ caller: Caller, _ id: ExecutionID) async throws {
        guard let execution = try await operations.execution(id, caller) else { throw Self.unknown(id.description) }
        struct One: Encodable { let execution: ExecutionView }
        try await exchange.respond(json: One(execution: execution))
    }

    private func identifier(_ parameters: Route.Parameters) throws -> ExecutionID {
        let text = parameters["id"] ?? ""
        guard let id = ExecutionID(text) else { throw Self.unknown(text) }
        return id
    }

    private static func unknown(_ id: String) -> ServiceError {
        ServiceError(
            .executionNotFound, "You have no execution \(id.prefix(64)).", hint: "See GET /v1/executions for yours.")
    }
}
