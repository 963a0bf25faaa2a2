import Execution
import Fleet
import HTTPTypes
import WebSocket

/// `/v1/ssh-keys` and `/v1/ssh`: the way into VMs for users' own SSH clients.
struct SSHRoutes: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration
    let gate: WebSocketGate

    private static let exampleKey =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIObX8EMn7TNDuOcwrrhtg49qkpvkIiTsW3fECM51Czjf laptop"

    var routes: [Route] {
        [
            .authenticated(
                .get, "/v1/ssh-keys",
                RouteDescription(
                    id: "listSSHKeys", group: .ssh, summary: "The keys that let you into your VMs",
                    answers: [.json("All of them, oldest first.", Schemas.list("keys", of: "SSHKey"))])
            ) { exchange, caller, _ in
                struct List: Encodable { let keys: [SSHKeyView] }
                try await exchange.respond(
                    json: List(keys: try await operations.ssh.keys(caller).map { SSHKeyView($0) }))
            },
            .authenticated(
                .post, "/v1/ssh-keys",
                RouteDescription(
                    id: "addSSHKey", group: .ssh, summary: "Let a key into all your VMs",
                    detail: "At most 64. In a VM that runs it is good when this is answered, in others once they run.",
                    parameters: [Idempotency.parameter],
                    body: .json(
                        Schema.reference("NewSSHKey"), example: ["key": .string(Self.exampleKey), "name": "laptop"]),
                    answers: [.json(.created, "The key.", Schemas.wrapped("key", Schema.reference("SSHKey")))],
                    errors: [.alreadyExists, .quotaExceeded] + Idempotency.errors)
            ) { exchange, caller, _ in
                let body = try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout)
                let key = try NewSSHKey.decode(body)
                try await Idempotency(store: operations.environments.idempotency)
                    .answer(exchange, caller, .created, body: body, shown: { ["key": SSHKeyView($0)] }) { keeper in
                        try await operations.ssh.addKey(caller, key, exchange.id, keeper)
                    }
            },
            .authenticated(
                .delete, "/v1/ssh-keys/{id}",
                RouteDescription(
                    id: "removeSSHKey", group: .ssh, summary: "Let a key in no more",
                    detail: "Connections that are open go on; stopping a VM ends those to it.",
                    parameters: [.path("id", "The key's id.", Schema.id(""))],
                    answers: [.empty(.noContent, "It lets nobody in any more.")], errors: [.sshKeyNotFound])
            ) { exchange, caller, parameters in
                let text = parameters["id"] ?? ""
                guard let id = SSHKeyID(text) else {
                    throw ServiceError(
                        .sshKeyNotFound, "There is no SSH key \(text.prefix(64)).",
                        hint: "See GET /v1/ssh-keys for yours.")
                }
                try await operations.ssh.removeKey(id, caller, exchange.id)
                try await exchange.respond(.noContent)
            },
            .authenticated(
                .get, "/v1/ssh",
                RouteDescription(
                    id: "openSSH", group: .ssh, summary: "A connection to a VM's SSH server, as a WebSocket",
                    detail: """
                        For `ProxyCommand`; `martlet ssh` is one. The VM is woken, and stays awake as long as the socket is \
                        open. Text frames say how far it is, `{"status","message"}`, and last `{"ready":{"slug","user",\
                        "hostKey","keys"}}`; from then on binary frames carry the bytes of both sides. A failure on the way \
                        is `{"error":{…}}` and close code 1011.
                        """,
                    parameters: [.query("environment", "Slug or id; your own VM without it.", Schema.string(""))],
                    answers: [.empty(.switchingProtocols, "A WebSocket from here on.")],
                    errors: [
                        .upgradeRequired, .tooManySockets, .environmentNotFound, .vmFailed, .vmDestroyed,
                        .quotaExceeded,
                        .noHostAvailable,
                    ])
            ) { exchange, caller, _ in
                try await gate.serve(
                    exchange, caller,
                    prepare: { [operations] in
                        try await operations.ssh.environment(caller, exchange.target["environment"], exchange.id)
                    },
                    { [operations] socket, environment in
                        let tunnel = SSHTunnel(socket: socket)
                        do {
                            try await operations.ssh.server(
                                environment, caller, exchange.id,
                                { try await tunnel.tell(SSHTunnel.Status(status: $0.rawValue, message: $1)) },
                                { try await tunnel.carry(to: $0) })
                            return .normal
                        } catch is SSHTunnel.WebSocketRefusal {
                            return WebSocketEnding(.unsupportedData, "this socket carries bytes")
                        }
                    })
            },
            .authenticated(
                .get, "/v1/ssh/hosts",
                RouteDescription(
                    id: "listSSHHosts", group: .ssh, summary: "Your VMs as an SSH client has to know them",
                    answers: [.json("Oldest first, at most 500.", Schemas.list("hosts", of: "SSHHost"))])
            ) { exchange, caller, _ in
                struct List: Encodable { let hosts: [SSHHostView] }
                try await exchange.respond(
                    json: List(hosts: try await operations.ssh.hosts(caller).map { SSHHostView($0) }))
            },
        ]
    }
}
