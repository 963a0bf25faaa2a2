import Fleet
import JobQueue

extension Schemas {
    static var admin: [(String, JSONValue)] {
        [
            ("User", user), ("NewUser", newUser), ("UserChange", userChange), ("QuotaOverrides", quotaOverrides),
            ("AdminVM", adminVM), ("UnknownVM", unknownVM), ("WakeReason", wakeReason),
            ("TimelineEvent", timelineEvent), ("Host", host),
            ("NewHost", newHost), ("Queue", queue), ("Job", job), ("Stats", stats), ("FleetSample", sample),
        ]
    }

    // MARK: Users

    private static let role = Schema.choice("", of: Caller.Role.self)
    private static let tier = Schema.choice("", of: Tier.self)
    private static let email = Schema.string("", length: 3...254, isNullable: true, example: "ada@example.com")

    private static let user = Schema.view(
        "Somebody who may use the service, or may not while suspended.",
        [
            "id": Schema.id(""), "name": Schema.string(""), "email": Schema.string("", isNullable: true),
            "role": role, "tier": tier, "suspendedAt": Schema.date("", isNullable: true), "createdAt": Schema.date(""),
        ])

    private static let newUser = Schema.object(
        "", required: ["name"],
        [
            "name": label("Names them in commands.", example: "ada"), "email": email,
            "role": Schema.choice("Left out: `user`.", of: Caller.Role.self, isNullable: true),
            "tier": Schema.choice("Left out: `free`.", of: Tier.self, isNullable: true),
        ])

    private static let userChange = Schema.object(
        "What is left out stays.", required: [],
        ["name": label("", example: "ada"), "email": email, "role": role, "tier": tier])

    private static let allowed = Schema.integer("Null: the tier's.", 0...1_000_000_000, isNullable: true)
    private static let quotaOverrides = Schema.object(
        "What is set for one user in place of what the tier says.", required: [],
        [
            "environments": allowed, "runningEnvironments": allowed, "vcpus": allowed, "memoryMb": allowed,
            "diskMb": allowed, "runtimeHours": allowed,
            "network": Schema.choice("Null: the tier's.", of: NetworkPolicy.self, isNullable: true),
        ])

    // MARK: VMs and hosts

    private static var adminVM: JSONValue {
        environment.describing(
            "A machine as its owner sees it, and whose and where it is.",
            adding: [
                "ownerId": Schema.id(""), "ownerName": Schema.string("", isNullable: true),
                "hostId": Schema.id("", isNullable: true),
                "instanceId": Schema.string("The provider's own name for it.", isNullable: true),
            ])
    }

    private static let unknownVM = Schema.view(
        "A VM that a provider has and no environment knows.",
        [
            "provider": Schema.string(""), "instanceId": Schema.string("The provider's own id of it."),
            "name": Schema.string(""), "firstSeenAt": Schema.date(""), "lastSeenAt": Schema.date(""),
        ])

    private static let wakeReason = Schema.view(
        "What keeps a VM awake.",
        [
            "runningExecutions": Schema.integer(""), "openSessions": Schema.integer("Terminals and their like."),
            "lastActivityAt": Schema.date("", isNullable: true),
            "idleStopAt": Schema.date(
                "When it is stopped if nobody uses it; null: in use, asleep, or never.", isNullable: true),
            "expiresAt": Schema.date("When it is destroyed.", isNullable: true),
        ])

    private static let timelineEvent = Schema.view(
        "Something that happened to a VM.",
        [
            "at": Schema.date(""), "kind": Schema.choice("", TimelineEventView.Kind.allCases.map(\.rawValue)),
            "audit": Schema.nullable(Schema.reference("AuditEntry")),
            "execution": Schema.nullable(Schema.reference("Execution")),
        ])

    private static let size = Schema.view(
        "", ["vcpus": Schema.integer(""), "memoryMb": Schema.integer(""), "diskMb": Schema.integer("")])

    private static let host = Schema.view(
        "A machine that VMs are placed on.",
        [
            "id": Schema.id(""), "name": Schema.string(""), "address": Schema.string(""),
            "state": Schema.choice("", of: HostState.self), "capacity": size, "used": size,
            "environments": Schema.integer("That live on it."), "awakeEnvironments": Schema.integer(""),
            "lastSeenAt": Schema.date("", isNullable: true), "createdAt": Schema.date(""),
        ])

    private static let amount = Schema.integer("That environments may use.", 1...1_000_000_000)
    private static let newHost = Schema.object(
        "", required: ["name", "address", "vcpus", "memoryMb", "diskMb"],
        [
            "name": Schema.string("", length: 1...100, pattern: "^[A-Za-z0-9.-]+$", example: "fc-1"),
            "address": label("A host name or an address.", example: "10.0.0.11"), "vcpus": amount,
            "memoryMb": amount, "diskMb": amount,
        ])

    // MARK: Queues

    private static let queue = Schema.view(
        "A queue at a glance.",
        [
            "name": Schema.string(""), "isPaused": Schema.boolean(""),
            "counts": Schema.view("", jobStates: AdminRoutes.jobStates),
            "workers": Schema.array("The names of those that are connected.", of: Schema.string("")),
        ])

    private static let job = Schema.view(
        "A job with all that is known of it.",
        [
            "id": Schema.string(""), "name": Schema.string("What is to be done."),
            "state": Schema.choice("", of: JobState.self), "data": ["description": "What it was made with."],
            "environmentId": Schema.id("Whose job it is.", isNullable: true), "attemptsMade": Schema.integer(""),
            "attemptsStarted": Schema.integer(""), "maxAttempts": Schema.integer(""),
            "stalledCount": Schema.integer("Times it was taken from a worker that had gone silent."),
            "priority": Schema.integer("0: before all others."), "delayMs": Schema.integer(""),
            "failedReason": Schema.string("", isNullable: true),
            "stacktrace": Schema.array("One entry a failure, oldest first.", of: Schema.string("")),
            "progress": ["description": "As the job last said."], "returnValue": ["description": "Null: none yet."],
            "createdAt": Schema.date(""), "processedAt": Schema.date("", isNullable: true),
            "processedBy": Schema.string("A worker's name.", isNullable: true),
            "finishedAt": Schema.date("", isNullable: true),
        ])

    // MARK: Statistics

    private static let counts = Schema.map("", of: Schema.integer(""))

    private static let sample = Schema.view(
        "What the fleet was like in a stretch of time.",
        [
            "at": Schema.date("Its begin."), "running": Schema.number("Environments, on average; so too below."),
            "asleep": Schema.number(""), "moving": Schema.number(""), "failed": Schema.number(""),
            "executionsPerMinute": Schema.number("That began."),
            "failedExecutionsPerMinute": Schema.number("Of them, those that never ran or were lost."),
            "coldStartsPerMinute": Schema.number("Environments that came to run."),
            "coldStartMs": Schema.number("From asking for it on, on average.", isNullable: true),
            "waitingJobs": Schema.integer("Of all queues, at most; so too below."),
            "activeJobs": Schema.integer(""), "failedJobs": Schema.integer(""),
        ])

    private static let stats = Schema.view(
        "The fleet at a glance; of environments the living ones.",
        [
            "environments": Schema.integer(""), "environmentsByState": counts, "environmentsByProvider": counts,
            "environmentsByTier": counts, "users": Schema.integer(""), "suspendedUsers": Schema.integer(""),
            "usersByTier": counts, "runtimeHoursThisMonth": Schema.number("UTC, of everybody."),
            "executionsLastHour": Schema.view(
                "",
                [
                    "byState": counts, "medianMs": Schema.number("", isNullable: true),
                    "percentile95Ms": Schema.number("", isNullable: true),
                ]),
            "executionsPerMinute": Schema.array(
                "The last hour, the present minute last.",
                of: Schema.view(
                    "",
                    [
                        "minute": Schema.date(""), "count": Schema.integer("That began."),
                        "failed": Schema.integer("Of them, those that never ran or were lost."),
                    ])),
            "hostsByState": counts, "hostCapacity": size, "hostUsed": size,
            "queues": Schema.array("", of: Schema.reference("Queue")),
        ])
}

extension Schema {
    /// A number for each state.
    fileprivate static func view(_ description: String, jobStates: [JobState]) -> JSONValue {
        let names = jobStates.map(\.rawValue)
        return .object([
            ("type", "object"), ("required", .array(names.map { .string($0) })),
            ("properties", .object(names.map { ($0, integer("")) })), ("additionalProperties", false),
        ])
    }
}
