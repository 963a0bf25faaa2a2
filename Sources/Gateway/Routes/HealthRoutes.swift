import Fleet
import HTTPTypes
import NIOCore

/// `/healthz`: the process answers. `/readyz`: it can do its work; a balancer sends it requests while it says so.
struct HealthRoutes: Sendable {
    let operations: GatewayOperations
    let isShuttingDown: Latch

    var routes: [Route] {
        [
            .open(.get, "/healthz") { exchange in
                try await exchange.respond(
                    .ok, headers: [.contentType: "application/json"], body: ByteBuffer(string: "{\"status\":\"ok\"}\n"))
            },
            .open(.get, "/readyz") { exchange in
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
