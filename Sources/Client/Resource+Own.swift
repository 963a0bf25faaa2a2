/// What belongs to the caller.
extension Resource {
    package static let vm = Resource(
        "/v1/vm", one: "vm", many: "vms", columns: [],
        details: [
            .text("slug", "vm"), .state(), .fault("errorMessage", "error"), .text("tier"), .size(), .text("provider"),
            .time("createdAt", "created"), .time("startedAt", "started"), .time("lastActivityAt", "used"),
        ])

    package static let environment = Resource(
        "/v1/environments", one: "environment", many: "environments",
        columns: [
            .text("slug"), .text("name"), .state(), .size(), .text("provider"), .age("lastActivityAt", "used"),
            .age("expiresAt", "expires"),
        ], details: environmentDetails)

    /// What is told of an environment, whoever asks.
    static let environmentDetails: [Field] = [
        .text("slug", "environment"), .text("name"), .state(), .fault("errorMessage", "error"), .text("tier"), .size(),
        .text("provider"), .text("flavor"), .text("region"), .text("repository"),
        .list("environmentVars", "variables"), setup, .time("createdAt", "created"),
        .time("stateChangedAt", "changed"), .time("startedAt", "started"), .time("lastActivityAt", "used"),
        .of("runtime") { $0["runtimeSeconds"]?.integer.map { Quantity.duration(seconds: Double($0)) } },
        .time("expiresAt", "expires"), .text("id"),
    ]

    private static let setup = Field("setup") { value, style in
        guard value["hasInitScript"] == .bool(true) || value["repository"] != nil else { return nil }
        guard let moment = value["initializedAt"]?.text.flatMap(Quantity.moment) else {
            let hasFailed = value["state"] == .string("running") && value["errorMessage"] != nil
            return hasFailed ? TextTable.Cell("failed", .bad) : TextTable.Cell("after the next start", .moving)
        }
        return TextTable.Cell("carried out \(Quantity.distance(moment, from: style.now))")
    }

    package static let audit = Resource(
        "/v1/admin/audit", one: "entry", many: "audit",
        columns: [
            .age("createdAt", "when"), .text("action"), .of("move", move), .text("actor.kind", "by"),
            .milliseconds("durationMs", "took"), .fault("errorCode", "error"), .text("requestId", "request"),
            .of("detail", auditDetail),
        ])

    /// `stopped > starting`.
    static func move(_ entry: JSONValue) -> String? {
        let states = [entry["fromState"]?.text, entry["toState"]?.text].compactMap(\.self)
        return states.isEmpty ? nil : states.joined(separator: " > ")
    }

    /// `name=web tier=pro`.
    static func auditDetail(_ entry: JSONValue) -> String? {
        let details = (entry["detail"]?.fields ?? [:]).sorted { $0.key < $1.key }.compactMap { name, value in
            value.text.flatMap { $0.isEmpty || name == "durationMs" ? nil : "\(name)=\($0)" }
        }
        return details.isEmpty ? nil : details.joined(separator: " ")
    }

    package static let token = Resource(
        "/v1/tokens", one: "token", many: "tokens",
        columns: [
            .text("id"), .text("name"),
            .of("scopes") { $0["scopes"]?.values.compactMap(\.text).joined(separator: ",") },
            .age("createdAt", "created"), .age("lastUsedAt", "used"), .age("expiresAt", "expires"),
            Field("state") { value, style in
                let isOver = value["expiresAt"]?.text.flatMap(Quantity.moment).map { $0 <= style.now } ?? false
                let state = value["revokedAt"] != nil ? "revoked" : isOver ? "expired" : "valid"
                return TextTable.Cell(state, Tone(state: state))
            },
        ])

    package static let sshKey = Resource(
        "/v1/ssh-keys", one: "key", many: "keys",
        columns: [
            .text("name"), .text("algorithm", "kind"), .text("fingerprint"), .age("createdAt", "added"), .text("id"),
        ],
        details: [
            .text("name", "key"), .text("algorithm", "kind"), .text("fingerprint"), .time("createdAt", "added"),
            .text("id"),
        ])

    package static let runtime = Resource(
        "/v1/runtimes", one: "runtime", many: "runtimes",
        columns: [
            .text("name"), .list("aliases", "also"),
            .of("extensions") { value in
                value["extensions"]?.values.compactMap(\.text).map { ".\($0)" }.joined(separator: " ")
            },
            .of("version") { value in
                switch value["available"] {
                case .bool(true)?: value["version"]?.text ?? "available"
                case .bool(false)?:
                    "not available: needs "
                        + (value["missing"]?.values.compactMap(\.text).joined(separator: " ") ?? "packages")
                default: "not known until your VM has run once"
                }
            },
        ])
}
