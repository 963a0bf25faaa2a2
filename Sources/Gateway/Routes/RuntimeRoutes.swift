import Execution
import HTTPTypes

/// `/v1/runtimes`: the languages there are.
struct RuntimeRoutes: Sendable {
    let operations: GatewayOperations

    var routes: [Route] {
        [
            .authenticated(.get, "/v1/runtimes") { exchange, caller, _ in
                struct List: Encodable { let runtimes: [RuntimeDescription] }
                try await exchange.respond(json: List(runtimes: try await operations.runtimes(caller)))
            }
        ]
    }
}
