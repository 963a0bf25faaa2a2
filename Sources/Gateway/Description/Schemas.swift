import Execution
import Fleet

/// The forms of what is sent and answered, by the names they have in the document. Those of the views are beside the
/// views' own types in meaning and order: a test compares their fields.
enum Schemas {
    static var all: [(String, JSONValue)] {
        [("Error", error), ("VM", vm), ("Execution", execution), ("ExecutionResult", executionResult)]
            + [("Event", event), ("ExecuteRequest", executeRequest), ("Runtime", runtime), ("LogLine", logLine)]
            + [("Token", token), ("NewToken", newToken)] + environments + files + ssh + terminals + admin
    }

    static let error = Schema.object(
        "Every refusal and failure has this form.", required: ["error"],
        [
            "error": Schema.view(
                "",
                [
                    "code": Schema.choice("Stable: decide by it.", ServiceError.Code.allCases.map(\.rawValue)),
                    "message": Schema.string("What happened to what, and why."),
                    "hint": Schema.string("What to do now."),
                    "requestId": Schema.string("For whoever looks for it in the log."),
                ])
        ])

    static let vm = Schema.view(
        "A user's VM.",
        [
            "id": Schema.id(""), "slug": Schema.string("Names it in commands."), "name": Schema.string(""),
            "status": Schema.choice(
                "The simple view of `state`.", ["pending", "provisioning", "stopped", "running", "error"]),
            "state": Schema.choice("", of: EnvironmentState.self), "tier": Schema.choice("", of: Tier.self),
            "vcpus": Schema.integer(""), "memoryMb": Schema.integer(""), "diskMb": Schema.integer(""),
            "provider": Schema.string("What makes it."),
            "errorMessage": Schema.string("Why it is in `error`.", isNullable: true), "createdAt": Schema.date(""),
            "startedAt": Schema.date("Since when it runs.", isNullable: true),
            "lastActivityAt": Schema.date("", isNullable: true),
        ])

    private static let textOrBytes: JSONValue = [
        "description": "Text, or base64 where the bytes are not UTF-8.",
        "anyOf": [
            ["type": "string"],
            Schema.view("", ["data": Schema.string(""), "encoding": Schema.choice("", ["base64"])]),
        ],
    ]

    static let execution = Schema.view(
        "One run in the history.", optional: ["code", "stdout", "stderr"],
        [
            "id": Schema.id(""), "environmentId": Schema.id("Where it ran."),
            "requestId": Schema.string("", isNullable: true),
            "state": Schema.choice("", of: ExecutionState.self), "language": Schema.string(""),
            "codeBytes": Schema.integer(""), "exitCode": Schema.integer("", isNullable: true),
            "signal": Schema.string("", isNullable: true), "durationMs": Schema.number("", isNullable: true),
            "cpuMs": Schema.number("", isNullable: true), "maxRssBytes": Schema.integer("", isNullable: true),
            "truncated": Schema.boolean("", isNullable: true), "stdoutBytes": Schema.integer("", isNullable: true),
            "stderrBytes": Schema.integer("", isNullable: true), "errorCode": Schema.string("", isNullable: true),
            "errorMessage": Schema.string("", isNullable: true), "startedAt": Schema.date(""),
            "finishedAt": Schema.date("", isNullable: true), "code": textOrBytes, "stdout": textOrBytes,
            "stderr": textOrBytes,
        ])

    private static let ending: [(String, JSONValue)] = [
        ("exitCode", Schema.integer("Null where a signal ended it.", isNullable: true)),
        ("signal", Schema.string("", isNullable: true)),
        (
            "reason",
            Schema.choice(
                "", ["exited", "signaled", "timeout", "memory", "processes", "output_limit", "cancelled"])
        ),
        ("stage", Schema.choice("", ["compile", "run"])), ("durationMs", Schema.number("", isNullable: true)),
        ("cpuMs", Schema.number("", isNullable: true)), ("maxRssBytes", Schema.integer("", isNullable: true)),
        ("truncated", Schema.boolean("Whether output was left out.")),
    ]

    private static let network = Schema.choice("What the run reaches beside its VM.", of: NetworkPolicy.self)
    private static let networkNotice = Schema.string("Only where that is less than it might have been: why.")

    static let executionResult: JSONValue = [
        "description": "A run that has ended, with its output.", "type": "object",
        "required": .array((["executionId", "stdout", "stderr", "network"] + ending.map(\.0)).map { .string($0) }),
        "properties": .object(
            [
                ("executionId", Schema.id("")), ("stdout", Schema.string("")), ("stderr", Schema.string("")),
                ("stdoutEncoding", Schema.choice("Only where it is not text.", ["base64"])),
                ("stderrEncoding", Schema.choice("Only where it is not text.", ["base64"])),
                ("network", network), ("networkNotice", networkNotice),
            ] + ending), "additionalProperties": false,
    ]

    /// One line of NDJSON, and the data of one server-sent event.
    static let event: JSONValue = [
        "description": """
        An event of a run. A stream ends with exactly one `exit` or `error`; one that ends without was cut.
        """,
        "type": "object", "required": ["event"],
        "properties": .object(
            [
                (
                    "event",
                    Schema.choice("", ["status", "started", "stdout", "stderr", "keepalive", "exit", "error"])
                ), ("state", Schema.choice("Of `status`.", ["queued", "starting", "connecting", "running"])),
                ("executionId", Schema.id("Of `started`.")), ("network", network), ("networkNotice", networkNotice),
                ("seq", Schema.integer("Of output: counts over both streams.")),
                ("data", Schema.string("Of output.")),
                ("encoding", Schema.choice("Of output that is not text.", ["base64"])),
                ("code", Schema.string("Of `error`.")), ("message", Schema.string("Of `status` and `error`.")),
                ("hint", Schema.string("Of `error`.")),
            ] + ending),
    ]

    /// What one server-sent event consists of.
    static func serverSent(_ names: [String]) -> JSONValue {
        Schema.object(
            "Of each event.", required: ["event", "data"],
            ["event": Schema.choice("", names), "id": Schema.string(""), "data": Schema.string("JSON.")])
    }

    private static let encoding = Schema.choice("", ["utf8", "base64"], isNullable: true)
    private static let amount = Schema.integer("At most the tier's.", from: 1, isNullable: true)
    private static let noNUL = "^[^\\u0000]*$"

    static let executeRequest = Schema.object(
        "A field that is null counts as left out.", required: ["code", "language"],
        [
            "code": Schema.string("The program."),
            "codeEncoding": encoding,
            "language": Schema.string("A name or alias of GET /v1/runtimes.", example: "python"),
            "stdin": Schema.string("Sent, then closed. Left out: open for POST …/stdin.", isNullable: true),
            "args": Schema.array(
                "", of: Schema.string("", pattern: noNUL), isNullable: true),
            "env": Schema.map(
                "Variables of the program.", of: Schema.string("", pattern: noNUL), names: "^[^=\\u0000]+$",
                isNullable: true),
            "files": Schema.array(
                "Laid into the working directory.",
                of: Schema.object(
                    "", required: ["path", "content"],
                    [
                        "path": Schema.string(
                            "Relative, in its shortest form, inside the directory.", length: 1...255,
                            pattern: "^(?!\\.{1,2}$)[^/\\u0000]+$", example: "data.csv"),
                        "content": Schema.string(""), "encoding": encoding,
                    ]), most: 256, isNullable: true),
            "timeoutMs": Schema.integer("Wall clock; at most the tier's.", from: 1, isNullable: true),
            "limits": Schema.object(
                "", required: [], isNullable: true,
                ["memoryMb": amount, "cpuMs": amount, "outputBytes": amount, "processes": amount]),
            "network": Schema.choice(
                "What it reaches beside its VM. Left out: as much as your runs may.", of: NetworkPolicy.self,
                isNullable: true),
            "environment": Schema.string("Slug or id of another environment of yours.", isNullable: true),
        ])

    static let runtime = Schema.view(
        "A language.", optional: ["version", "available", "example"],
        [
            "name": Schema.string(""), "title": Schema.string(""), "aliases": Schema.array("", of: Schema.string("")),
            "extensions": Schema.array("", of: Schema.string("")),
            "version": Schema.string("As your VM last said.", isNullable: true),
            "available": Schema.boolean("As your VM last said.", isNullable: true),
            "missing": Schema.array("Debian packages that would make it available.", of: Schema.string("")),
            "example": Schema.string("A program that greets the world."),
        ])

    static let logLine = Schema.view(
        "A line of a provision log.",
        [
            "timestamp": Schema.date(""), "level": Schema.choice("", of: ProvisionLogEntry.Level.self),
            "message": Schema.string(""),
        ])

    static let token = Schema.view(
        "A token.", optional: ["token"],
        [
            "token": Schema.string("Its text: only in the answer to its making."), "id": Schema.id(""),
            "name": Schema.string(""), "scopes": Schema.array("", of: Schema.choice("", of: Caller.Scope.self)),
            "createdAt": Schema.date(""), "lastUsedAt": Schema.date("", isNullable: true),
            "expiresAt": Schema.date("", isNullable: true), "revokedAt": Schema.date("", isNullable: true),
        ])

    static let newToken = Schema.object(
        "", required: ["name"],
        [
            "name": label("To know it by."),
            "scopes": Schema.array(
                "Left out: `user`.", of: Schema.choice("", of: Caller.Scope.self), isNullable: true
            ).with(["minItems": 1]),
            "expiresInSeconds": Schema.integer("Left out: never.", 1...315_360_000, isNullable: true),
        ])

    /// What people call things: 1 to 100 characters, none of them a control character, not all of them spaces.
    static func label(_ description: String, isNullable: Bool = false, example: JSONValue = "laptop") -> JSONValue {
        Schema.string(
            description, length: 1...100,
            pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f]*[!-~][^\\u0000-\\u001f\\u007f-\\u009f]*$",
            isNullable: isNullable, example: example)
    }

    /// An object with one field, as answers are.
    static func wrapped(_ name: String, _ schema: JSONValue) -> JSONValue {
        .object([
            ("type", "object"), ("required", [.string(name)]), ("properties", .object([(name, schema)])),
            ("additionalProperties", false),
        ])
    }

    static func list(_ name: String, of schema: String) -> JSONValue {
        wrapped(name, ["type": "array", "items": Schema.reference(schema)])
    }
}
