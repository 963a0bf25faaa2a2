import Execution
import Fleet
import HTTPTypes
import Synchronization
import WebSocket

/// `/v1/terminals`: shells of the caller's VMs, and the WebSockets by which they are used.
struct TerminalRoutes: Sendable {
    let operations: TerminalOperations
    let configuration: GatewayConfiguration
    let gate: WebSocketGate

    private static let environment = RouteDescription.Parameter.query(
        "environment", "Slug or id; your own VM without it.", Schema.string(""))
    private static let id = RouteDescription.Parameter.path(
        "terminal", "The terminal's id.", Schema.string("", pattern: "^[a-z0-9][a-z0-9-]{7,63}$"))
    private static let reachingErrors: [ServiceError.Code] = [
        .environmentNotFound, .vmUnreachable, .hostKeyMismatch,
    ]
    private static let wakingErrors: [ServiceError.Code] =
        reachingErrors + [
            .vmStartTimeout, .vmFailed, .vmDestroyed, .quotaExceeded, .noHostAvailable, .tooManyTerminals, .diskFull,
        ]

    var routes: [Route] {
        [
            .authenticated(
                .get, "/v1/terminals",
                RouteDescription(
                    id: "listTerminals", group: .terminals, summary: "Terminals that live",
                    detail: "None where the VM sleeps, which is not woken.", parameters: [Self.environment],
                    answers: [.json("All of them, oldest first.", Schemas.list("terminals", of: "Terminal"))],
                    errors: Self.reachingErrors)
            ) { exchange, caller, _ in
                struct List: Encodable { let terminals: [TerminalView] }
                let terminals = try await operations.list(caller, exchange.target["environment"], exchange.id)
                try await exchange.respond(json: List(terminals: terminals.map { TerminalView($0) }))
            },
            .authenticated(
                .post, "/v1/terminals",
                RouteDescription(
                    id: "createTerminal", group: .terminals, summary: "Make a terminal",
                    detail: "The VM is woken if it sleeps, and made if you have none.",
                    parameters: [Self.environment],
                    body: .json(Schema.reference("NewTerminal"), example: ["rows": 40, "columns": 120]),
                    answers: [.json(.created, "It lives.", Schemas.wrapped("terminal", Schema.reference("Terminal")))],
                    errors: Self.wakingErrors)
            ) { exchange, caller, _ in
                let body = try await exchange.jsonBody(upTo: 65_536, within: configuration.bodyTimeout)
                let request = try TerminalRequest.decode(body)
                let place = try await operations.make(
                    caller, exchange.target["environment"], request, exchange.id, { _ in })
                try await exchange.respond(.created, json: ["terminal": TerminalView(place.terminal)])
            },
            .authenticated(
                .delete, "/v1/terminals/{terminal}",
                RouteDescription(
                    id: "endTerminal", group: .terminals, summary: "Hang a terminal up",
                    parameters: [Self.id, Self.environment],
                    answers: [.empty(.noContent, "It is gone, with what ran in it.")],
                    errors: Self.reachingErrors + [.terminalNotFound])
            ) { exchange, caller, parameters in
                let id = try Self.terminal(parameters)
                try await operations.end(caller, exchange.target["environment"], id, exchange.id)
                try await exchange.respond(.noContent)
            },
            .authenticated(.get, "/v1/terminals/{terminal}/socket", Self.using) { exchange, caller, parameters in
                try await use(exchange, caller, try Self.terminal(parameters))
            },
        ]
    }

    private static let using = RouteDescription(
        id: "useTerminal", group: .terminals, summary: "Use a terminal over a WebSocket",
        detail: """
            Binary frames are bytes of the terminal, both ways. Text frames are JSON: `{"resize":{"rows","columns"}}` and \
            `{"taken"}` to it; from it `{"status"}` while the VM wakes, `{"attached":{"id","replayed","window"}}` before the bytes, of which the \
            first `replayed` were printed before, `{"exit":{"exitCode","signal"}}` at the end, `{"error":{…}}`. A \
            terminal has one user; who comes later takes over, and the other is closed with 4001.
            """,
        parameters: [
            id, environment,
            .query("rows", "24 without it.", Schema.integer("", TerminalSize.range)),
            .query("columns", "80 without it.", Schema.integer("", TerminalSize.range)),
            .query(
                "window", "The most bytes of output that may be on their way. What has been taken is to be told then.",
                Schema.integer("", TerminalWindow.range)),
            .query("create", "Wakes the VM, and makes the terminal if it is not there.", Schema.string("")),
        ],
        answers: [.empty(.switchingProtocols, "A WebSocket, where the request asks for one.")],
        errors: wakingErrors + [.terminalNotFound, .upgradeRequired, .tooManySockets, .crossSite])

    private static func terminal(_ parameters: Route.Parameters) throws(ServiceError) -> TerminalID {
        let text = parameters["terminal"] ?? ""
        guard let id = TerminalID(rawValue: text) else {
            throw ServiceError(
                .terminalNotFound, "There is no terminal '\(text.prefix(64))'.",
                hint: "An id is 8 to 64 small letters, digits and dashes. See GET /v1/terminals.")
        }
        return id
    }

    // MARK: Using one

    /// It was opened elsewhere; an application's own code.
    static let taken = WebSocketCloseCode(rawValue: 4001)

    private func use(_ exchange: Exchange, _ caller: Caller, _ id: TerminalID) async throws {
        let target = exchange.target
        let name = target["environment"]
        let size = TerminalSize(
            rows: try target.number("rows", TerminalSize.range) ?? TerminalSize.usual.rows,
            columns: try target.number("columns", TerminalSize.range) ?? TerminalSize.usual.columns)
        let window = try target.number("window", TerminalWindow.range)
        let creates = target.isSet("create")
        try await gate.serve(exchange, caller) { [operations] () -> TerminalPlace? in
            if creates {
                if name != nil { _ = try await operations.list(caller, name, exchange.id) }  // whether it is theirs
                return nil
            }
            return try await operations.find(caller, name, id, exchange.id)
        } _: { [operations] socket, place in
            let place =
                if let place { place } else {
                    try await operations.make(
                        caller, name, TerminalRequest(id: id, size: size), exchange.id,
                        { try await socket.send(json: ["status": $0]) })
                }
            let ending = Mutex(WebSocketEnding.normal)
            try await operations.use(place, size, window) { terminal in
                ending.withLock { $0 = .normal }
                let last = try await Self.join(socket, terminal, id, window)
                ending.withLock { $0 = last }
            }
            return ending.withLock { $0 }
        }
    }

    private struct Attached: Encodable {
        let id: String
        let replayed: Int
        @Nullable var window: Int?
    }

    /// The bytes of output that a client with a window has not said to have taken.
    private final class Untaken: Sendable {
        private let count = Mutex<Int?>(nil)  // `nil` where there is no window

        func begin() { count.withLock { $0 = 0 } }
        func add(_ more: Int) { count.withLock { if let left = $0 { $0 = left + more } } }

        /// False if it is more than there is.
        func take(_ taken: Int) -> Bool {
            count.withLock {
                guard let left = $0, left >= taken else { return false }
                $0 = left - taken
                return true
            }
        }
    }

    private struct Exit: Encodable {
        @Nullable var exitCode: Int?
        @Nullable var signal: String?
    }

    /// Bytes both ways, until the terminal ends.
    private static func join(
        _ socket: WebSocketChannel, _ terminal: TerminalConnection, _ id: TerminalID, _ window: Int?
    ) async throws -> WebSocketEnding {
        let untaken = Untaken()
        return try await withThrowingTaskGroup(of: WebSocketEnding.self) { group in
            group.addTask {
                while true {
                    switch try await socket.next() {
                    case .binary(let bytes): try await terminal.type(bytes)
                    case .text(let text):
                        do {
                            switch try TerminalMessage.decode(text) {
                            case .resize(let size): try await terminal.resize(size)
                            case .taken(let count):
                                if !untaken.take(count) {
                                    return WebSocketEnding(.unsupportedData, "more was taken than came")
                                }
                                try await terminal.take(count)
                            }
                        } catch let error as ServiceError {
                            return WebSocketEnding(.unsupportedData, error.message)
                        }
                    }
                }
            }
            group.addTask {
                let ending = Mutex(WebSocketEnding.normal)
                try await terminal.receive { event in
                    switch event {
                    case .attached(let replayed, let hasWindow):
                        if hasWindow { untaken.begin() }
                        let attached = Attached(id: id.rawValue, replayed: replayed, window: hasWindow ? window : nil)
                        try await socket.send(json: ["attached": attached])
                    case .output(let bytes):
                        untaken.add(bytes.count)
                        try await socket.send(bytes)
                    case .ended(let exitCode, let signal):
                        try await socket.send(json: ["exit": Exit(exitCode: exitCode, signal: signal)])
                    case .taken: ending.withLock { $0 = WebSocketEnding(taken, "opened elsewhere") }
                    }
                }
                return ending.withLock { $0 }
            }
            defer { group.cancelAll() }
            return try await group.next() ?? .normal
        }
    }
}

extension WebSocketChannel {
    func send(json value: some Encodable) async throws {
        try await send(text: String(decoding: try JSONView.encode(value), as: UTF8.self))
    }
}
