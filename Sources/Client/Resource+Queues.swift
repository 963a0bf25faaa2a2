/// The queues and what is in them.
extension Resource {
    package static let queue = Resource(
        "/v1/admin/queues", one: "queue", many: "queues",
        columns: [.text("name", "queue"), queueState] + counts
            + [Field.of("workers") { queue in (queue["workers"]?.values.count).map { String($0) } }],
        details: [.text("name", "queue"), queueState] + counts + [.list("workers", "workers")])

    private static let queueState = Field("state") { queue, _ in
        let state = queue["isPaused"] == .bool(true) ? "paused" : "active"
        return TextTable.Cell(state, Tone(state: state))
    }

    private static let counts: [Field] =
        ["waiting", "prioritized", "delayed", "active", "completed"].map { (name: String) in
            Field.text("counts.\(name)", name)
        } + [
            Field("failed") { queue, _ in
                queue["counts.failed"]?.integer.map { TextTable.Cell("\($0)", $0 > 0 ? .bad : .plain) }
            }
        ]

    /// Listed under their queue, which is put into each as `queue`.
    package static let job = Resource(
        "/v1/admin/queues", one: "job", many: "jobs",
        columns: [
            .text("id", "job"), .text("queue"), .state(), .of("attempts", attempts), .age("createdAt", "created"),
            .age("finishedAt", "finished"), .fault("failedReason", "reason"),
        ],
        details: [
            .text("id", "job"), .text("queue"), .text("name"), .state(), .of("attempts", attempts),
            .of("stalled") { $0["stalledCount"]?.integer.flatMap { $0 > 0 ? "\($0) times" : nil } },
            .of("delay") { job in
                job["delayMs"]?.integer.flatMap { $0 > 0 ? Quantity.duration(seconds: Double($0) / 1_000) : nil }
            }, .time("createdAt", "created"), .time("processedAt", "taken"), .text("processedBy", "by"),
            .time("finishedAt", "finished"), .text("environmentId", "vm"), .fault("failedReason", "reason"),
        ])

    private static func attempts(_ job: JSONValue) -> String? {
        job["attemptsMade"]?.text.map { made in job["maxAttempts"]?.text.map { "\(made) of \($0)" } ?? made }
    }

    /// All that is known of a job: what it is, its data, how it failed, and its log.
    package static func report(of answer: JSONValue, in queue: String, _ style: TextStyle) -> String {
        let job = (answer["job"] ?? .null).with("queue", .string(queue))
        func part(_ title: String, _ text: String) -> String? {
            let visible = TerminalText.visible(text, keepsLines: true)
            return visible.isEmpty
                ? nil : "\n\(title)\n" + visible.split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
        }
        func lines(_ values: JSONValue?) -> String { values?.values.compactMap(\.text).joined(separator: "\n") ?? "" }
        let logs = answer["logs"]?.values.count ?? 0
        let total = answer["logCount"]?.integer ?? logs
        return [
            Self.job.description(of: job, style), job["data"].flatMap { part("data", $0.json(indented: true)) },
            job["progress"].flatMap { part("progress", $0.json(indented: true)) },
            job["returnValue"].flatMap { part("result", $0.json(indented: true)) },
            part("stack", lines(job["stacktrace"])),
            part(total > logs ? "log, the newest \(logs) of \(total) lines" : "log", lines(answer["logs"])),
        ].compactMap(\.self).joined(separator: "\n")
    }
}
