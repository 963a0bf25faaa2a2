import Foundation

/// What admins see of everybody's.
extension Resource {
    package static let user = Resource(
        "/v1/admin/users", one: "user", many: "users",
        columns: [
            .text("name"), .text("email"), .text("role"), .text("tier"), userState, .age("createdAt", "created"),
            .text("id"),
        ],
        details: [
            .text("name", "user"), .text("email"), .text("role"), .text("tier"), userState,
            .time("suspendedAt", "suspended"), .time("createdAt", "created"), .text("id"),
        ])

    private static let userState = Field("state") { user, _ in
        let state = user["suspendedAt"] == nil ? "active" : "suspended"
        return TextTable.Cell(state, Tone(state: state))
    }

    package static let userVM = Resource(
        "/v1/admin/vms", one: "vm", many: "vms",
        columns: [
            .text("slug"), .text("name"), .of("owner", owner), .state(), .size(), .text("provider"),
            .age("stateChangedAt", "since"), .age("lastActivityAt", "used"), .fault("errorMessage", "error"),
        ],
        details: environmentDetails + [
            .of("owner", owner), .text("ownerId", "owner's id"), .text("hostId", "host"),
            .text("instanceId", "instance"),
        ])

    private static func owner(_ vm: JSONValue) -> String? { vm["ownerName"]?.text ?? vm["ownerId"]?.text }

    package static let wakeReason = Resource(
        "/v1/admin/vms", one: "why", many: "why", columns: [],
        details: [
            .of("runs") { $0["runningExecutions"]?.text.map { "\($0) under way" } },
            .of("sessions") { $0["openSessions"]?.text.map { "\($0) open" } }, .time("lastActivityAt", "used"),
            Field("idle stop") { why, style in
                guard let moment = why["idleStopAt"]?.text.flatMap(Quantity.moment) else { return "never" }
                return TextTable.Cell(Quantity.full(moment, now: style.now))
            }, .time("expiresAt", "expires"),
        ])

    package static let timeline = Resource(
        "/v1/admin/vms", one: "event", many: "timeline",
        columns: [
            .age("at", "when"),
            .of("what") { $0["audit.action"]?.text ?? $0["execution.language"]?.text.map { "run \($0)" } },
            .of("outcome") { event in event["audit"].flatMap(move) ?? event["execution.state"]?.text },
            .of("took") { event in
                (event["audit.durationMs"] ?? event["execution.durationMs"])?.integer.map {
                    Quantity.duration(seconds: Double($0) / 1_000)
                }
            },
            Field("error") { event, _ in
                (event["audit.errorCode"] ?? event["execution.errorCode"])?.text.map { TextTable.Cell($0, .bad) }
            },
            .of("by") { event in
                event["audit.actor.kind"]?.text.map { "\($0) \(event["audit.actor.id"]?.text ?? "")" }
            },
            .of("request") { ($0["audit.requestId"] ?? $0["execution.requestId"])?.text },
        ])

    package static let unknownVM = Resource(
        "/v1/admin/unknown-vms", one: "unknownVm", many: "unknownVms",
        columns: [
            .text("provider"), .text("instanceId", "instance"), .text("name"), .age("firstSeenAt", "first seen"),
            .age("lastSeenAt", "last seen"),
        ],
        details: [
            .text("instanceId", "instance"), .text("provider"), .text("name"), .time("firstSeenAt", "first seen"),
            .time("lastSeenAt", "last seen"),
        ])

    package static let host = Resource(
        "/v1/admin/hosts", one: "host", many: "hosts",
        columns: [
            .text("name"), .text("address"), .state(), use("vcpus", "vcpu"),
            use("memoryMb", "memory", Quantity.megabytes), use("diskMb", "disk", Quantity.megabytes), hostLoad,
            .age("lastSeenAt", "seen"),
        ],
        details: [
            .text("name", "host"), .text("address"), .state(), .size("capacity", at: "capacity"),
            .size("used", at: "used"), hostLoad, .time("lastSeenAt", "seen"), .time("createdAt", "added"), .text("id"),
        ])

    private static let hostLoad = Field.of("environments") { host in
        host["environments"]?.text.map { all in host["awakeEnvironments"]?.text.map { "\(all), \($0) awake" } ?? all }
    }

    /// `6/32` of a host.
    private static func use(
        _ name: String, _ title: String, _ show: @escaping @Sendable (Int) -> String = { "\($0)" }
    ) -> Field {
        .of(title) { host in
            host["capacity.\(name)"]?.integer.map { "\(show(host["used.\(name)"]?.integer ?? 0))/\(show($0))" }
        }
    }

    package static let administrationAudit = Resource(
        "/v1/admin/audit", one: "entry", many: "audit",
        columns: [
            .age("createdAt", "when"), .text("action"), .of("move", move),
            .of("by") { entry in entry["actor.kind"]?.text.map { "\($0) \(entry["actor.id"]?.text ?? "")" } },
            .of("to", subject), .milliseconds("durationMs", "took"),
            .fault("errorCode", "error"), .text("requestId", "request"), .of("detail", auditDetail),
        ])

    /// What a line of the audit log is about: a VM, else an account.
    private static func subject(_ entry: JSONValue) -> String? {
        entry["environmentId"]?.text.map { "vm \($0)" } ?? entry["userId"]?.text.map { "user \($0)" }
    }
}
