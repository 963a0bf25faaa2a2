import Fleet
import HTTPTypes
import Logging
import NIOCore

/// Takes one exchange from request to answer: finds the route, then who calls, lets the route answer, puts errors
/// into our form, and logs.
struct Dispatcher: Sendable {
    let table: RouteTable
    let authentication: Authentication
    let rate: RateGate?  // nil: nobody counts
    let metrics: GatewayMetrics
    var pages: PageShell?  // nil: there are none

    /// What is found out on the way.
    private struct Trace {
        var route = "none"  // the template
        var caller: Caller?
    }

    func answer(_ exchange: Exchange) async {
        let start = ContinuousClock.now
        var failure: (any Error)?
        var trace = Trace()
        do {
            try await route(exchange, &trace)
        } catch {
            failure = error
            await refuse(exchange, error)
        }
        let duration = ContinuousClock.now - start
        metrics.answered(exchange, route: trace.route, took: duration)
        log(exchange, failure, trace, took: duration)
    }

    private func route(_ exchange: Exchange, _ trace: inout Trace) async throws {
        switch table.match(exchange.head.method, exchange.target) {
        case .subtree(let subtree):
            trace.route = subtree.prefix + "*"
            try await subtree.handle(exchange)
        case .route(let route, let parameters):
            trace.route = route.path
            switch route.handler {
            case .anyone(let handle): try await handle(exchange)
            case .caller(let handle):
                let caller = try await authentication.caller(of: exchange.head, admitting: .sessions)
                trace.caller = caller
                try await withinRate(.calls, caller, exchange, route) {
                    try await handle(exchange, caller, parameters)
                }
            case .visitor(let handle):
                guard let caller = try await visitor(exchange) else {
                    return try await exchange.redirect(to: Self.signIn(for: exchange.head.path ?? "/"))
                }
                trace.caller = caller
                try await withinRate(.pages, caller, exchange, route) {
                    try await handle(exchange, caller, parameters)
                }
            }
        case .otherMethods(let methods):
            let allowed = methods.map(\.rawValue).joined(separator: ", ")
            guard exchange.head.method != .options else {
                return try await exchange.respond(.noContent, headers: [.allow: allowed])
            }
            throw MethodRefused(
                allowed: allowed,
                error: ServiceError(
                    .methodNotAllowed, "\(exchange.target.path) takes no \(exchange.head.method.rawValue).",
                    hint: "It takes \(allowed)."))
        case .none:
            throw ServiceError(
                .routeNotFound, "There is nothing at \(exchange.target.path.prefix(256)).",
                hint: "The API begins at /v1: POST /v1/execute, GET /v1/runtimes, GET /v1/vm.")
        }
    }

    /// `nil`: a person who has to sign in. To programs it is said as everywhere.
    private func visitor(_ exchange: Exchange) async throws -> Caller? {
        do {
            return try await authentication.caller(of: exchange.head, admitting: .visitors)
        } catch is Authentication.Refused where exchange.prefersPage {
            return nil
        }
    }

    private static func signIn(for path: String) -> String {
        guard path != "/" else { return "/login" }
        let plain = path.utf8.map { byte -> String in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "/"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                String(UnicodeScalar(byte))
            default: "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return "/login?next=" + plain.joined()
    }

    /// The rate is asked for while the body still comes: what reads one whole waits for both.
    private func withinRate(
        _ bucket: RateBucket, _ caller: Caller, _ exchange: Exchange, _ route: Route, _ handle: () async throws -> Void
    ) async throws {
        guard let rate else { return try await handle() }
        // Discarding: what the question used is given back when it is answered, not when the request has ended.
        try await withThrowingDiscardingTaskGroup { group in
            let admission = exchange.expectAdmission(for: caller.tier)
            if let verdict = rate.estimate(caller, bucket) { admission.settle(verdict) }
            group.addTask { admission.settle(await rate.take(caller, bucket)) }  // the first to settle it wins
            if case .json = route.description.body {} else { try await exchange.admitted() }
            try await handle()
        }
    }

    private func refuse(_ exchange: Exchange, _ error: any Error) async {
        // An answer that has begun is cut; one nobody waits for is not given.
        guard exchange.status == nil, !(error is ClientLeft), !(error is CancellationError) else { return }
        var headers: HTTPFields = [:]
        let refusal: ServiceError
        var status: HTTPResponse.Status?
        var retryAfter: Int?
        switch error {
        case let error as Authentication.Refused:
            headers[.wwwAuthenticate] = error.challenge
            refusal = error.error
        case let error as MethodRefused:
            headers[.allow] = error.allowed
            refusal = error.error
        case let error as RateExceeded:
            refusal = error.error
            retryAfter = error.verdict.retryAfterSeconds
        case let error as ProtocolRefusal:
            headers[.connection] = "close"
            status = error.status
            refusal = error.error
        default: refusal = ServiceError(describing: error)
        }
        for field in refusal.responseHeaders { headers.append(field) }
        if let retryAfter { headers[.retryAfter] = String(retryAfter) }
        if let pages, exchange.prefersPage {
            headers[.contentType] = nil
            try? await pages.show(exchange, refusal, status: status ?? refusal.code.status, headers: headers)
            guard exchange.status == nil else { return }
            headers[.contentType] = "application/json"
        }
        try? await exchange.respond(
            status ?? refusal.code.status, headers: headers, body: refusal.responseBody(requestID: exchange.id))
    }

    private func log(_ exchange: Exchange, _ failure: (any Error)?, _ trace: Trace, took duration: Duration) {
        var metadata: Logger.Metadata = [
            "method": "\(exchange.head.method.rawValue)", "path": "\(exchange.target.path)",
            "route": "\(trace.route)", "ms": "\(duration.milliseconds)",
        ]
        if let caller = trace.caller { metadata["user"] = "\(caller.userID)" }
        if let status = exchange.status { metadata["status"] = "\(status.code)" }
        let isOurFault = (exchange.status?.code ?? 0) >= 500 || (failure != nil && exchange.status == .ok)
        switch failure {
        case nil: exchange.logger.debug("request answered", metadata: metadata)
        // What cannot be written has nobody to read it.
        case is ClientLeft, is CancellationError, is IOError, is ChannelError:
            exchange.logger.debug("client left", metadata: metadata)
        case let failure?:
            metadata["error"] = "\(failure)"
            exchange.logger.log(level: isOurFault ? .error : .debug, "request failed", metadata: metadata)
        }
    }

    private struct MethodRefused: Error {
        let allowed: String
        let error: ServiceError
    }
}
