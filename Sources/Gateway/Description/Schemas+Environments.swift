import Fleet

extension Schemas {
    static var environments: [(String, JSONValue)] {
        [
            ("Environment", environment), ("NewEnvironment", newEnvironment), ("EnvironmentChange", environmentChange),
            ("AuditEntry", auditEntry), ("Quota", quota), ("NewVM", newVM), ("Flavor", flavor), ("Offer", offer),
        ]
    }

    static let environment = Schema.view(
        "A machine of a user's.",
        [
            "id": Schema.id(""), "slug": Schema.string("Names it in commands and paths."),
            "kind": Schema.choice("A user's own VM, or one beside it.", ["user_vm", "environment"]),
            "name": Schema.string(""), "state": Schema.choice("", of: EnvironmentState.self),
            "tier": Schema.choice("", of: Tier.self), "vcpus": Schema.integer(""), "memoryMb": Schema.integer(""),
            "diskMb": Schema.integer(""),
            "network": Schema.choice("What its runs may reach beside it.", of: NetworkPolicy.self),
            "provider": Schema.string("What makes it."),
            "flavor": Schema.string("", isNullable: true), "region": Schema.string("", isNullable: true),
            "repository": Schema.string("Without what may be secret in it.", isNullable: true),
            "environmentVars": Schema.array("The names.", of: Schema.string("")),
            "hasInitScript": Schema.boolean(""),
            "initializedAt": Schema.date("When its setup was carried out, and well.", isNullable: true),
            "errorMessage": Schema.string("Why it is in `error`, or why its setup failed.", isNullable: true),
            "runtimeSeconds": Schema.integer("In all."),
            "expiresAt": Schema.date("When it is destroyed.", isNullable: true), "createdAt": Schema.date(""),
            "stateChangedAt": Schema.date(""), "startedAt": Schema.date("Since when it runs.", isNullable: true),
            "lastActivityAt": Schema.date("", isNullable: true),
        ])

    private static let name = label("To know it by.", example: "web")
    private static let noNUL = "^[^\\u0000]*$"
    private static let variables = Schema.map(
        "64 KiB in all.", of: Schema.string("", pattern: noNUL), names: "^[A-Za-z_][A-Za-z0-9_]*$", most: 128,
        isNullable: true)
    private static let script = Schema.string(
        "For bash, run after the first start, and after the next where it failed; 64 KiB.", pattern: noNUL,
        isNullable: true, example: "pip install numpy")
    private static let hours = Schema.integer("After which it is destroyed.", 1...8_760, isNullable: true)

    private static let repository = Schema.oneOf(
        "Cloned into the home.",
        [
            Schema.string(
                "The URL, and behind a # the branch.", length: 1...2_048,
                pattern: "^(https://|ssh://|file:///|git@)[!-\"$-~]+(#\(branch))?$",
                example: "https://git.example/web.git#main"),
            Schema.object(
                "", required: ["url"],
                [
                    "url": Schema.string(
                        "https, ssh, file, or git@host:path.", length: 1...2_048,
                        pattern: "^(https://|ssh://|file:///|git@)[!-~]+$", example: "https://git.example/web.git"),
                    "branch": Schema.string("", length: 1...255, pattern: "^\(branch)$", isNullable: true),
                ]), ["type": "null"],
        ])
    private static let branch = "[A-Za-z0-9_][A-Za-z0-9_/@+-]*(\\.[A-Za-z0-9_/@+-]+)*"

    private static let newEnvironment = Schema.object(
        "A field that is null counts as left out.", required: ["name"],
        [
            "name": name, "environmentVars": variables, "initScript": script, "durationHours": hours,
            "repository": repository,
            "provider": Schema.string("One of those here.", isNullable: true),
            "flavor": label("Of a provider that has them.", isNullable: true, example: "d2-2"),
            "region": label("Of a provider that has them.", isNullable: true, example: "GRA11"),
            "vcpus": Schema.integer("At most the tier's.", from: MachineSize.least.vcpus, isNullable: true),
            "memoryMb": Schema.integer("At most the tier's.", from: MachineSize.least.memoryMb, isNullable: true),
            "diskMb": Schema.integer("At most the tier's.", from: MachineSize.least.diskMb, isNullable: true),
        ])

    private static let newVM = Schema.object(
        "Null, left out and an empty body: what the provider makes for your tier.", required: [],
        [
            "flavor": label("Of a provider that has them.", isNullable: true, example: "d2-2"),
            "region": label("Of a provider that has them.", isNullable: true, example: "GRA11"),
        ])

    private static let flavor = Schema.view(
        "A size that a provider makes.",
        [
            "id": Schema.string(""), "name": Schema.string(""), "vcpus": Schema.integer(""),
            "ram": Schema.integer("GB."), "disk": Schema.integer("GB."), "type": Schema.string("Its provider."),
            "available": Schema.boolean("It can be had now, and by your tier."), "region": Schema.string(""),
        ])

    private static let offer = Schema.view(
        "What all providers offer that say so.",
        [
            "flavors": Schema.array("", of: Schema.reference("Flavor")),
            "regions": Schema.array("", of: Schema.string("")),
            "unavailable": Schema.array(
                "Those that do not.",
                of: Schema.view(
                    "",
                    [
                        "provider": Schema.string(""), "message": Schema.string(""),
                        "hint": Schema.string("What to do now."),
                    ])),
        ])

    private static let environmentChange = Schema.object(
        "What is left out stays.", required: [],
        ["name": name, "environmentVars": variables, "initScript": script, "durationHours": hours])

    private static let auditEntry = Schema.view(
        "One line of the audit log.",
        [
            "id": Schema.integer(""), "environmentId": Schema.id("", isNullable: true),
            "userId": Schema.id("Whose it was done to.", isNullable: true),
            "actor": Schema.view(
                "",
                [
                    "kind": Schema.choice("", of: AuditActor.Kind.self),
                    "id": Schema.string("A user's id, a worker's name, a part of the system."),
                ]), "action": Schema.string(""),
            "fromState": Schema.choice("", of: EnvironmentState.self, isNullable: true),
            "toState": Schema.choice("", of: EnvironmentState.self, isNullable: true),
            "requestId": Schema.string("", isNullable: true),
            "errorCode": Schema.string("Null: it was done.", isNullable: true),
            "durationMs": Schema.integer("", isNullable: true), "detail": Schema.map("", of: Schema.string("")),
            "createdAt": Schema.date(""),
        ])

    private static let quota = Schema.view(
        "",
        [
            "limits": Schema.view(
                "Null is without limit.",
                [
                    "environments": Schema.integer("", isNullable: true),
                    "runningEnvironments": Schema.integer("", isNullable: true),
                    "vcpus": Schema.integer("", isNullable: true), "memoryMb": Schema.integer("", isNullable: true),
                    "diskMb": Schema.integer("", isNullable: true),
                    "runtimeHours": Schema.integer("In the calendar month, UTC.", isNullable: true),
                    "network": Schema.choice("Of runs.", of: NetworkPolicy.self),
                ]),
            "used": Schema.view(
                "",
                [
                    "environments": Schema.integer(""), "runningEnvironments": Schema.integer(""),
                    "vcpus": Schema.integer(""), "memoryMb": Schema.integer(""), "diskMb": Schema.integer(""),
                    "runtimeSeconds": Schema.integer("In the calendar month, UTC."),
                ]),
        ])
}
