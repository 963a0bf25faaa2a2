import Fleet
import HTTPTypes
import NIOCore

/// `/healthz`: the process answers. `/readyz`: it can do its work; a balancer sends it requests while it says so.
struct HealthRoutes: Sendable {
    let operations: GatewayOperations
    let isShuttingDown: Latch

    static let health = Route.open(
        .get, "/healthz",
        RouteDescription(
            id: "getHealth", group: .server, summary: "Whether the process answers",
            answers: [.json("It does.", Schemas.wrapped("status", Schema.choice("", ["ok"])))])
    ) { exchange in
        try await exchange.respond(
            .ok, headers: [.contentType: "application/json"], body: ByteBuffer(string: "{\"status\":\"ok\"}\n"))
    }

    var routes: [Route] {
        [
            Self.health,
            .open(
                .get, "/readyz",
                RouteDescription(
                    id: "getReadiness", group: .server, summary: "Whether it can do its work",
                    detail: "503 says what is not reachable. A balancer sends it requests while it says 200.",
                    answers: [.json("It can.", Schemas.wrapped("status", Schema.choice("", ["ready"])))])
            ) { exchange in
                if isShuttingDown.isOpen { throw ServiceError.shuttingDown }
                let unreachable = await operations.unreachable()
                guard unreachable.isEmpty else {
                    let list = unreachable.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
                    throw ServiceError(
                        .serviceUnavailable, "Not reachable: \(list.joined(separator: "; ")).",
                        hint: "Run 'martlet doctor' on the server.")
                }
                try await exchange.respond(
                    .ok, headers: [.contentType: "application/json"],
                    body: ByteBuffer(string: "{\"status\":\"ready\"}\n"))
            },
        ]
    }
}
