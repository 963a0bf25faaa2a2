import Execution
import HTTPTypes

/// `/v1/runtimes`: the languages there are.
struct RuntimeRoutes: Sendable {
    let operations: GatewayOperations

    var routes: [Route] {
        [
            .authenticated(
                .get, "/v1/runtimes",
                RouteDescription(
                    id: "listRuntimes", group: .executions, summary: "The languages there are",
                    detail: "Version and availability are as your VM last said.",
                    answers: [.json("All of them.", Schemas.list("runtimes", of: "Runtime"))])
            ) { exchange, caller, _ in
                struct List: Encodable { let runtimes: [RuntimeDescription] }
                try await exchange.respond(json: List(runtimes: try await operations.runtimes(caller)))
            }
        ]
    }
}
