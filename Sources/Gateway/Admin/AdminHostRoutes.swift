import Fleet
import HTTPTypes

/// The machines that VMs are placed on.
extension AdminRoutes {
    private struct One: Encodable { let host: HostView }
    private static let host = Schemas.wrapped("host", Schema.reference("Host"))

    var hosts: [Route] {
        [
            route(
                .get, "/hosts", "ListHosts", "The hosts, by name",
                query: [
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...500)),
                    .query("after", "The name of the last of the page before.", Schema.string("")),
                ], .json("A page.", Schemas.list("hosts", of: "Host"))
            ) { call in
                let limit = try call.target.limit(1...500) ?? 100
                let hosts = try await call.fleet.hosts.list(limit: limit, after: call.target["after"])
                try await call.exchange.respond(json: ["hosts": hosts.map { HostView($0) }])
            },
            route(
                .post, "/hosts", "AddHost", "Add a host; it takes environments at once",
                body: .json(
                    Schema.reference("NewHost"),
                    example: [
                        "name": "fc-1", "address": "10.0.0.11", "vcpus": 32, "memoryMb": 131_072, "diskMb": 2_000_000,
                    ]),
                .json(.created, "", Self.host), errors: [.alreadyExists]
            ) { call in
                let body = try await call.body()
                let new = try AdminBody.newHost(body)
                try await call.create(body) {
                    One(
                        host: HostView(
                            try await call.fleet.hosts.add(
                                name: new.name, address: new.address, capacity: new.size, by: call.actor,
                                requestID: call.requestID)))
                }
            },
            route(.get, "/hosts/{host}", "GetHost", "One host", .json("", Self.host)) { call in
                try await call.exchange.respond(json: One(host: HostView(try await call.host())))
            },
            hostChange("cordon", "CordonHost", "Place nothing more on a host") {
                try await $0.fleet.hosts.cordon($1, by: $0.actor, requestID: $0.requestID)
            },
            hostChange("uncordon", "UncordonHost", "Place on a host again") {
                try await $0.fleet.hosts.uncordon($1, by: $0.actor, requestID: $0.requestID)
            },
            hostChange("drain", "DrainHost", "Stop what runs on a host, then leave it in `maintenance`") {
                try await $0.fleet.hosts.drain($1, by: $0.actor, requestID: $0.requestID)
            },
            hostChange("maintenance", "MaintainHost", "Set aside a host on which nothing runs") {
                try await $0.fleet.hosts.maintenance($1, by: $0.actor, requestID: $0.requestID)
            },
            route(
                .delete, "/hosts/{host}", "RemoveHost", "Remove a host on which nothing lives",
                .empty(.noContent, "It is gone."), errors: [.illegalTransition]
            ) { call in
                let name = try await call.host().name
                try await call.fleet.hosts.remove(name, by: call.actor, requestID: call.requestID)
                try await call.exchange.respond(.noContent)
            },
        ]
    }

    private func hostChange(
        _ verb: String, _ id: String, _ summary: String,
        _ change: @escaping @Sendable (AdminCall, _ name: String) async throws -> VMHost
    ) -> Route {
        route(
            .post, "/hosts/{host}/\(verb)", id, summary, .json("As it is now.", Self.host),
            errors: [.illegalTransition]
        ) { call in
            let changed = try await change(call, try await call.host().name)
            try await call.exchange.respond(json: One(host: HostView(changed)))
        }
    }
}
