import Fleet
import HTTPTypes
import Logging

/// tRPC 11 over HTTP, as its own client sends and reads it: everything under `/api/trpc/`.
///
/// A request goes through four steps, each a type of its own, so that a new procedure is one entry in a table:
///
/// 1. ``TRPCRequest`` reads the head: the names of the procedures, one or a batch, and the form of the answer.
/// 2. ``plan(_:_:)`` finds the ``Procedure``s and says of each call whether it may be made: its kind against the
///    method, the caller against the procedure. What is wrong with one call is its own fault and no other's.
/// 3. The input is read, once and only if a call that may be made wants any (``TRPCInputs``).
/// 4. The calls are made at the same time and answered in the form asked for: ``JSONAnswer`` (one envelope or an array
///    in call order), ``LinesAnswer`` (JSON Lines in order of finishing) or ``EventsAnswer`` (a subscription).
///
/// Faults are told where the client looks for them: a stream's head is always 200 and its faults are inside, for its
/// clients take any other status for a broken connection. tRPC has no word for what Martlet's errors say beyond it, so
/// `data` carries it: `serviceCode`, `hint`, `requestId`.
struct TRPCRouter: Sendable {
    static let prefix = "/api/trpc/"

    private let procedures: [String: Procedure]
    private let configuration: GatewayConfiguration
    private let authentication: Authentication
    private let crossOrigin: CrossOrigin
    private let rate: RateGate?
    private let metrics: GatewayMetrics

    init(
        operations: GatewayOperations, configuration: GatewayConfiguration, budget: BufferBudget,
        authentication: Authentication, metrics: GatewayMetrics
    ) {
        let table =
            VMProcedures(operations: operations).all
            + RunProcedures(operations: operations, configuration: configuration, budget: budget).all
        procedures = Dictionary(uniqueKeysWithValues: table.map { ($0.path, $0) })
        self.configuration = configuration
        self.authentication = authentication
        self.metrics = metrics
        rate = operations.rate
        crossOrigin = CrossOrigin(allowed: configuration.trpc.allowedOrigins)
    }

    var subtree: Subtree { Subtree(prefix: Self.prefix) { try await answer($0) } }

    private func answer(_ exchange: Exchange) async throws {
        var headers = crossOrigin.headers(for: exchange.head)
        headers[.cacheControl] = "no-store"
        switch exchange.head.method {
        case .options:
            return try await exchange.respond(.noContent, headers: crossOrigin.preflight(exchange.head))
        case .head: return try await exchange.respond(.noContent, headers: headers)
        case .get where exchange.target.path == Self.prefix + AppRouterTypes.name:
            return try await AppRouterTypes.answer(exchange, headers)
        default: break
        }
        let (request, calls) = await plan(exchange)
        for call in calls {
            guard case .failure(let fault) = call.readiness else { continue }
            metrics.refused(fault, procedure: procedures[call.path]?.path)
        }
        switch request.form {
        case .single, .batch:
            try await JSONAnswer(exchange: exchange, request: request, headers: headers).answer(calls)
        case .lines:
            try await LinesAnswer(
                exchange: exchange, request: request, headers: headers, keepAlive: configuration.trpc.pingInterval
            ).answer(calls)
        case .events:
            try await EventsAnswer(
                exchange: exchange, request: request, headers: headers, configuration: configuration.trpc
            ).answer(calls)
        }
    }

    // MARK: Planning

    private func plan(_ exchange: Exchange) async -> (TRPCRequest, [PlannedCall]) {
        var request = TRPCRequest(
            exchange.head, exchange.target, prefix: Self.prefix, batchLimit: configuration.trpc.batchLimit)
        let found = request.paths.map { procedures[$0] }
        if request.form == .single, found[0]?.kind == .subscription { request.answerWithEvents() }
        var kinds: [String] = []
        for kind in found.compactMap({ $0?.kind.rawValue }) where !kinds.contains(kind) { kinds.append(kind) }
        if kinds.count > 1 {
            request.refuse(
                TRPCFault(
                    ServiceError(
                        .invalidRequest, "Cannot mix procedure types in call: \(kinds.joined(separator: ", "))",
                        hint: "Send one batch of queries and one of mutations.")))
        }
        if let fault = request.fault {
            return (request, request.paths.map { PlannedCall(path: $0, readiness: .failure(fault)) })
        }
        // One caller for all calls, looked for once there is one to make.
        var known: Result<Caller, TRPCFault>?
        var admitted: [Result<(Procedure, Caller), TRPCFault>] = []
        for (path, procedure) in zip(request.paths, found) {
            do throws(TRPCFault) {
                let procedure = try checked(procedure, at: path, of: request, method: exchange.head.method)
                let result = if let known { known } else { await authenticated(exchange, request) }
                known = result
                let caller = try result.get()
                if procedure.access == .admin, !caller.isAdmin {
                    throw TRPCFault(
                        ServiceError(
                            .forbidden, "Admin access required",
                            hint: "Use an admin's token that has the scope 'admin'."))
                }
                admitted.append(.success((procedure, caller)))
            } catch {
                admitted.append(.failure(error))
            }
        }
        // A query's input is at hand; a body is fetched only for those who read it.
        let readsInput = exchange.head.method == .get || admitted.contains { (try? $0.get().0.readsInput) ?? false }
        let inputs = TRPCInputs(
            readsInput ? await inputText(of: exchange) : .success([]), isBatch: request.form.isBatched)
        let calls = zip(request.paths, admitted).enumerated().map { index, call in
            PlannedCall(
                path: call.0,
                readiness: call.1.flatMap { procedure, caller in
                    if let fault = inputs.faultOfAll { return .failure(TRPCFault(fault)) }
                    return .success(
                        PlannedCall.Ready(
                            procedure: procedure,
                            call: ProcedureCall(
                                caller: caller, exchange: exchange, input: inputs[index],
                                lastEventID: request.lastEventID),
                            metrics: metrics))
                })
        }
        return (request, calls)
    }

    /// The procedure, if there is one and this is how it is called.
    private func checked(
        _ procedure: Procedure?, at path: String, of request: TRPCRequest, method: HTTPRequest.Method
    ) throws(TRPCFault) -> Procedure {
        guard let procedure else {
            throw TRPCFault(
                ServiceError(
                    .routeNotFound, "No procedure found on path \"\(path.prefix(128))\"",
                    hint: "The procedures are listed in docs/API.md and in GET \(Self.prefix)\(AppRouterTypes.name)."))
        }
        if procedure.kind == .subscription, request.form != .events {
            throw TRPCFault(
                ServiceError(
                    .invalidRequest, "Cannot batch subscription calls", hint: "Use httpSubscriptionLink for them."))
        }
        let isPostForAll = configuration.trpc.allowsMethodOverride && method == .post
        let fits =
            switch procedure.kind {
            case .query: request.form != .events && (method == .get || isPostForAll)
            case .mutation: request.form != .events && method == .post
            case .subscription: method == .get || isPostForAll
            }
        guard fits else {
            throw TRPCFault(
                ServiceError(
                    .methodNotAllowed,
                    "Unsupported \(method.rawValue)-request to \(procedure.kind.rawValue) procedure at path \"\(path)\"",
                    hint:
                        "Queries and subscriptions are sent by GET, mutations by POST; only subscriptions give events.")
            )
        }
        return procedure
    }

    private func authenticated(_ exchange: Exchange, _ request: TRPCRequest) async -> Result<Caller, TRPCFault> {
        var head = exchange.head
        if let token = request.token, head.headerFields[.authorization] == nil {
            head.headerFields[.authorization] = "Bearer \(token)"
        }
        do {
            let caller = try await authentication.caller(of: head)
            if let rate {
                // A request draws once, however many calls are in it.
                let admission = exchange.expectAdmission(for: caller.tier)
                admission.settle(await rate.take(caller, .calls))
                try await exchange.admitted()
            }
            return .success(caller)
        } catch {
            return .failure(TRPCFault(describing: error))
        }
    }

    private func inputText(of exchange: Exchange) async -> Result<[UInt8], ServiceError> {
        if exchange.head.method == .get { return .success(Array((exchange.target["input"] ?? "").utf8)) }
        do {
            return .success(
                try await exchange.wholeBody(upTo: configuration.bodyLimit, within: configuration.bodyTimeout))
        } catch {
            return .failure(TRPCFault(describing: error).error)
        }
    }
}

/// A call as it was asked for: ready to be made, or refused.
struct PlannedCall: Sendable {
    struct Ready: Sendable {
        let procedure: Procedure
        let call: ProcedureCall
        let metrics: GatewayMetrics
    }

    let path: String
    let readiness: Result<Ready, TRPCFault>

    /// Makes the call of a query or a mutation. Throws only when nobody waits for the answer any more.
    func outcome(handingTo sink: (any ValueSink)? = nil) async throws -> Result<Outcome, TRPCFault> {
        let ready: Ready
        switch readiness {
        case .failure(let fault): return .failure(fault)
        case .success(let value): ready = value
        }
        do {
            var call = ready.call
            call.sink = sink
            switch ready.procedure.action {
            case .query(let resolve), .mutation(let resolve):
                return .success(
                    try await ready.metrics.counting(ready.procedure.path) { [call] in try await resolve(call) })
            case .subscription: preconditionFailure("a subscription is planned for events alone")
            }
        } catch let error where error is ClientLeft || error is CancellationError {
            throw error
        } catch {
            let fault = TRPCFault(describing: error)
            fault.log(path, to: ready.call.exchange)
            return .failure(fault)
        }
    }
}

extension TRPCRequest.Form {
    fileprivate var isBatched: Bool {
        switch self {
        case .batch, .lines: true
        case .single, .events: false
        }
    }
}

extension TRPCFault {
    /// What is our own fault, where an operator sees it: the answer may hide it behind a 200.
    func log(_ path: String, to exchange: Exchange) {
        exchange.logger.log(
            level: code.status.code >= 500 ? .error : .debug, "tRPC call failed",
            metadata: ["procedure": "\(path)", "error": "\(error)"])
    }
}
