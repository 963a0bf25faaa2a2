import Fleet
import Foundation
import HTTPTypes

/// A request of an admin's, with what its path and query name looked up.
struct AdminCall: Sendable {
    let exchange: Exchange
    let caller: Caller
    let fleet: Fleet
    let configuration: GatewayConfiguration
    private let parameters: Route.Parameters

    var actor: AuditActor { AuditActor(caller) }
    var requestID: String { exchange.id }
    var target: RequestTarget { exchange.target }

    /// A part of the path.
    func named(_ parameter: String) -> String { parameters[parameter] ?? "" }

    /// The user of the path, by name or id.
    func user() async throws -> User { try await user(named("user")) }

    /// Throws `user_not_found`.
    func user(_ name: String) async throws -> User {
        let found: User? =
            if let id = UserID(name) { try await fleet.users.byID(id) } else { try await fleet.users.byName(name) }
        guard let found else {
            throw ServiceError(
                .userNotFound, "There is no user '\(name.prefix(128))'.",
                hint: "See who there is with 'martlet admin users list'.")
        }
        return found
    }

    /// The environment of the path, by slug or id, whosever it is.
    func environment() async throws -> Environment { try await environment(named("vm")) }

    /// Throws `environment_not_found`.
    func environment(_ name: String) async throws -> Environment {
        try await fleet.environments.authorized(name, for: caller, to: "administer", requestID: requestID)
    }

    /// The host of the path, by name or id. Throws `host_not_found`.
    func host() async throws -> VMHost { try await host(named("host")) }

    func host(_ name: String) async throws -> VMHost {
        let found: VMHost? =
            if let id = HostID(name) { try await fleet.hosts.find(id) } else { try await fleet.hosts.find(name) }
        guard let found else {
            throw ServiceError(
                .hostNotFound, "There is no host '\(name.prefix(128))'.",
                hint: "See what there is with 'martlet admin hosts list'.")
        }
        return found
    }

    /// Environments with the names of their owners.
    func views(_ environments: [Environment]) async throws -> [AdminVMView] {
        let names = try await fleet.users.names(of: Set(environments.map(\.userID)))
        return environments.map { AdminVMView($0, ownerName: names[$0.userID]) }
    }

    func respond(_ status: HTTPResponse.Status = .ok, vm environment: Environment) async throws {
        guard let view = try await views([environment]).first else { return }
        try await exchange.respond(status, json: ["vm": view])
    }

    /// Answers with what is read now or, if that is asked for, live: again every few seconds in which it has changed.
    /// - Parameter part: what of it to compare; all of it where nothing is said.
    func respond<Value: Encodable & Sendable>(
        live event: String, comparing part: (@Sendable (Value) -> any Encodable & Sendable)? = nil,
        _ read: @escaping @Sendable () async throws -> Value
    ) async throws {
        guard target.isSet("follow"), exchange.head.method == .get else {
            return try await exchange.respond(json: try await read())
        }
        try await LiveAnswer(event: event) {
            let value = try await read()
            return (value, try part.map { try JSONView.encode($0(value)) } ?? JSONView.encode(value))
        }.answer(exchange) { changed in
            try await Wakes.each(AsyncStream<Void> { _ in }, atLeastEvery: .seconds(3), changed)
        }
    }

    func body() async throws -> [UInt8] {
        try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout)
    }

    /// Answers a creating call once for each `Idempotency-Key`.
    func create(_ body: [UInt8], _ make: () async throws -> some Encodable) async throws {
        try await Idempotency(store: fleet.idempotency).answer(exchange, caller, .created, body: body, make)
    }

    fileprivate init(
        _ exchange: Exchange, _ caller: Caller, _ parameters: Route.Parameters, _ fleet: Fleet,
        _ configuration: GatewayConfiguration
    ) {
        self.exchange = exchange
        self.caller = caller
        self.parameters = parameters
        self.fleet = fleet
        self.configuration = configuration
    }
}

/// `/v1/admin`: for a token of the scope `admin` in the hand of an admin, and for nobody else.
struct AdminRoutes: Sendable {
    /// `nil` where a test of other things has none: nothing can be administered.
    let fleet: Fleet?
    let configuration: GatewayConfiguration

    var routes: [Route] { users + tokens + vms + unknownVMs + hosts + queues + jobs + reports }

    /// A route whose parts in braces are described by their names.
    func route(
        _ method: HTTPRequest.Method, _ path: String, _ id: String, _ summary: String, detail: String = "",
        query: [RouteDescription.Parameter] = [], body: RouteDescription.Body? = nil,
        _ answer: RouteDescription.Answer, errors: [ServiceError.Code] = [],
        _ handle: @escaping @Sendable (AdminCall) async throws -> Void
    ) -> Route {
        let names = path.split(separator: "/").filter { $0.first == "{" }.map { String($0.dropFirst().dropLast()) }
        let described = names.map { Self.parts[$0] ?? .path($0, "", Schema.string("")) }
        let isCreating = answer.status == .created
        return .authenticated(
            method, "/v1/admin" + path,
            RouteDescription(
                id: "admin" + id, group: .admin, summary: summary, detail: detail,
                parameters: described + query + (isCreating ? [Idempotency.parameter] : []), body: body,
                answers: [answer],
                errors: [.forbidden] + names.compactMap { Self.missing[$0] } + errors
                    + (isCreating ? Idempotency.errors : []))
        ) { exchange, caller, parameters in
            guard caller.isAdmin else {
                throw ServiceError(
                    .forbidden, "This is for admins.",
                    hint: caller.role == .admin
                        ? "Use a token of the scope 'admin': 'martlet token create --admin'."
                        : "Ask an admin of this server.")
            }
            guard let fleet else {
                throw ServiceError(.serviceUnavailable, "There is nothing to administer here.", hint: "Ask elsewhere.")
            }
            try await handle(AdminCall(exchange, caller, parameters, fleet, configuration))
        }
    }

    static let follow = RouteDescription.Parameter.query(
        "follow", "Live, as server-sent events, unless it is `0` or `false`.", Schema.string(""))

    /// What is answered as JSON, or live as events of that name.
    static func live(_ event: String, _ summary: String, _ schema: JSONValue) -> RouteDescription.Answer {
        .init(
            status: .ok, summary: summary,
            contents: [
                .init(type: "application/json", schema: schema),
                .init(type: "text/event-stream", schema: Schemas.serverSent([event])),
            ])
    }

    private static let parts: [String: RouteDescription.Parameter] = [
        "user": .path("user", "Their name or id.", Schema.string("")),
        "vm": .path("vm", "Its slug or id.", Schema.string("")),
        "provider": .path("provider", "Whose VM it is.", Schema.string("")),
        "instance": .path("instance", "The provider's own id of it.", Schema.string("")),
        "host": .path("host", "Its name or id.", Schema.string("")),
        "queue": .path("queue", "Its name: `vm-provision` or `vm-control`.", Schema.string("")),
        "job": .path("job", "Its id.", Schema.string("")),
        "token": .path("token", "The token's id.", Schema.id("")),
    ]
    private static let missing: [String: ServiceError.Code] = [
        "user": .userNotFound, "vm": .environmentNotFound, "host": .hostNotFound, "queue": .queueNotFound,
        "job": .jobNotFound, "token": .tokenNotFound,
    ]
}
