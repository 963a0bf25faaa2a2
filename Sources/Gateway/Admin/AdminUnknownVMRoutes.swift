import Fleet
import Foundation
import HTTPTypes

/// VMs that a provider has and no environment knows.
extension AdminRoutes {
    var unknownVMs: [Route] {
        [
            route(
                .get, "/unknown-vms", "ListUnknownVMs", "The VMs that a provider has and nobody knows",
                detail: "As the last comparison with each provider found them. Nothing destroys them by itself.",
                query: [
                    .query("provider", "", Schema.string("")),
                    .query("limit", "Most of them in this page; 100.", Schema.integer("", 1...500)),
                    .query("after", "The last of the page before: `provider/instanceId`.", Schema.string("")),
                ], .json("A page.", Schemas.list("unknownVms", of: "UnknownVM"))
            ) { call in
                let after = try call.target.identifier("after") { text -> (provider: String, id: String)? in
                    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
                    return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
                }
                let limit = try call.target.limit(1...500) ?? 100
                let vms = try await call.fleet.unknownVMs.list(
                    provider: call.target["provider"], limit: limit, after: after)
                try await call.exchange.respond(json: ["unknownVms": vms.map { UnknownVMView($0) }])
            },
            route(
                .delete, "/unknown-vms/{provider}/{instance}", "DestroyUnknownVM",
                "Destroy a VM that nobody knows", detail: "A worker looks once more whether that is so.",
                .json(.accepted, "A job does it.", Schemas.wrapped("unknownVm", Schema.reference("UnknownVM"))),
                errors: [.vmNotFound, .vmKnown]
            ) { call in
                let vm = try await call.fleet.unknownVMs.requestDestroy(
                    provider: call.named("provider"), id: call.named("instance"), by: call.actor,
                    requestID: call.requestID)
                try await call.exchange.respond(.accepted, json: ["unknownVm": UnknownVMView(vm)])
            },
        ]
    }
}

/// A VM that nobody knows.
struct UnknownVMView: Encodable, Sendable {
    var provider: String
    var instanceId: String
    var name: String
    var firstSeenAt: Date
    var lastSeenAt: Date

    init(_ vm: UnknownVM) {
        provider = vm.provider
        instanceId = vm.externalID
        name = vm.name
        firstSeenAt = vm.firstSeenAt
        lastSeenAt = vm.lastSeenAt
    }
}
