import Fleet
import HTTPTypes
import NIOCore

/// What is done to VMs: the lines there are, or those and each further one as it is written.
struct ProvisionLogAnswer: Sendable {
    private struct Lines: Encodable { let logs: [LogLineView] }

    let recent: @Sendable () async throws -> [LogLineView]
    /// Calls its argument with what there is and then with each line as it is written, until cancelled.
    let follow: @Sendable (@escaping @Sendable (LogLineView) async throws -> Void) async throws -> Void

    static let follow = RouteDescription.Parameter.query(
        "follow", "Live, as server-sent events `log`, unless it is `0` or `false`.", Schema.string(""))
    static let described = RouteDescription.Answer(
        status: .ok, summary: "The lines, oldest first.",
        contents: [
            .init(type: "application/json", schema: Schemas.list("logs", of: "LogLine")),
            .init(type: "text/event-stream", schema: Schemas.serverSent(["log"])),
        ])

    func answer(_ exchange: Exchange) async throws {
        guard exchange.target.isSet("follow"), exchange.head.method == .get else {
            return try await exchange.respond(json: Lines(logs: try await recent()))
        }
        try await exchange.whileClientListens { [follow] in
            let stream = try await exchange.stream(headers: [
                .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-store", .accelBuffering: "no",
            ])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await follow { line in
                        var buffer = ByteBuffer(string: "event: log\ndata: ")
                        buffer.writeBytes(try JSONView.encode(line))
                        buffer.writeStaticString("\n\n")
                        try await stream.write(buffer)
                    }
                }
                group.addTask {
                    while true {  // a comment, so that no proxy takes the silence for an end
                        try await Task.sleep(for: .seconds(15))
                        try await stream.writeSignOfLife(ByteBuffer(string: ":\n\n"))
                    }
                }
                defer { group.cancelAll() }
                try await group.next()
            }
            try await stream.finish()
        }
    }
}

extension ProvisionLogAnswer {
    init(_ store: ProvisionLogStore, of subject: some ProvisionLogSubject) {
        self.init(
            recent: { try await store.recent(subject).map { LogLineView($0) } },
            follow: { line in
                try await store.withFollowing(subject) { entries in
                    for try await entry in entries { try await line(LogLineView(entry)) }
                }
            })
    }
}
