import Fleet
import HTTPTypes
import Logging
import NIOCore

/// Takes one exchange from request to answer: finds the route, then who calls, lets the route answer, puts errors
/// into our form, and logs.
struct Dispatcher: Sendable {
    let table: RouteTable
    let authentication: Authentication

    func answer(_ exchange: Exchange) async {
        let start = ContinuousClock.now
        var failure: (any Error)?
        do {
            try await route(exchange)
        } catch {
            failure = error
            await refuse(exchange, error)
        }
        log(exchange, failure, took: .now - start)
    }

    private func route(_ exchange: Exchange) async throws {
        switch table.match(exchange.head.method, exchange.target) {
        case .subtree(let subtree): try await subtree.handle(exchange)
        case .route(let route, let parameters):
            switch route.handler {
            case .anyone(let handle): try await handle(exchange)
            case .caller(let handle):
                try await handle(exchange, try await authentication.caller(of: exchange.head), parameters)
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

    private func refuse(_ exchange: Exchange, _ error: any Error) async {
        // An answer that has begun is cut; one nobody waits for is not given.
        guard exchange.status == nil, !(error is ClientLeft), !(error is CancellationError) else { return }
        var headers: HTTPFields = [:]
        let refusal: ServiceError
        var status: HTTPResponse.Status?
        switch error {
        case let error as Authentication.Refused:
            headers[.wwwAuthenticate] = error.challenge
            refusal = error.error
        case let error as MethodRefused:
            headers[.allow] = error.allowed
            refusal = error.error
        case let error as ProtocolRefusal:
            headers[.connection] = "close"
            status = error.status
            refusal = error.error
        default: refusal = ServiceError(describing: error)
        }
        for field in refusal.responseHeaders { headers.append(field) }
        try? await exchange.respond(
            status ?? refusal.code.status, headers: headers, body: refusal.responseBody(requestID: exchange.id))
    }

    private func log(_ exchange: Exchange, _ failure: (any Error)?, took duration: Duration) {
        var metadata: Logger.Metadata = [
            "method": "\(exchange.head.method.rawValue)", "path": "\(exchange.target.path)",
            "ms": "\(duration.milliseconds)",
        ]
        if let status = exchange.status { metadata["status"] = "\(status.code)" }
        let isOurFault = (exchange.status?.code ?? 0) >= 500 || (failure != nil && exchange.status == .ok)
        switch failure {
        case nil: exchange.logger.debug("request answered", metadata: metadata)
        case is ClientLeft, is CancellationError: exchange.logger.debug("client left", metadata: metadata)
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
