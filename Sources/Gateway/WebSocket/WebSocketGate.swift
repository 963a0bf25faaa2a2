import EventLoop
import Fleet
import HTTPTypes
import Logging
import NIOCore
import Synchronization
import WebSocket

/// Where requests become WebSockets (RFC 6455). A route gives the exchange here and gets a ``WebSocketChannel`` for as long as
/// its `body` runs; who may have it is decided before, by the dispatcher: a token, from wherever it comes, or a browser's
/// session, for pages of this server alone (``HTTPRequest/checkSite(isPage:)`` takes a request to upgrade for one that
/// changes something).
///
/// Bounds: ``WebSocketLimits``. A message is at most 1 MiB. Reading is what makes a peer's bytes come, and a write returns
/// when the kernel has it, so neither side can pile anything up here. A peer that says nothing while it is listened to for
/// `silence`, not even the answer to a ping, is cut.
struct WebSocketGate: Sendable {
    let limits: WebSocketLimits
    let isShuttingDown: Latch
    private let seats = Seats()

    private final class Seats: Sendable {
        let taken = Mutex<(total: Int, byUser: [UserID: Int])>((0, [:]))
    }

    init(limits: WebSocketLimits, isShuttingDown: Latch) {
        self.limits = limits
        self.isShuttingDown = isShuttingDown
    }

    /// How many are open here.
    var count: Int { seats.taken.withLock { $0.total } }

    /// Throws, before anything is answered, what makes no WebSocket of the request: `upgrade_required`,
    /// `invalid_request`, `too_many_sockets`, and whatever `prepare` throws. What `prepare` has made is given to `body`,
    /// and `body` decides with what code it is closed. An error of `body` is told the peer in a text frame,
    /// `{"error":{…}}`, before it is closed.
    func serve<Prepared: Sendable>(
        _ exchange: Exchange, _ caller: Caller,
        prepare: @escaping @Sendable () async throws -> Prepared,
        _ body: @escaping @Sendable (WebSocketChannel, Prepared) async throws -> WebSocketEnding
    ) async throws {
        if isShuttingDown.isOpen { throw ServiceError.shuttingDown }
        try take(caller.userID)
        defer { leave(caller.userID) }
        let prepared = try await prepare()  // first: whose thing it is comes before how it is asked for
        let accept = try Self.handshake(exchange)
        let tunnel = try await exchange.tunnel(headers: [
            .upgrade: "websocket", .connection: "Upgrade", .webSocketAccept: accept,
        ])
        let socket = WebSocketChannel(tunnel)
        let ending = await ending(socket) { try await body(socket, prepared) }
        await close(socket, tunnel, ending, exchange)
    }

    /// As above, with nothing to prepare.
    func serve(
        _ exchange: Exchange, _ caller: Caller,
        _ body: @escaping @Sendable (WebSocketChannel) async throws -> WebSocketEnding
    ) async throws {
        try await serve(exchange, caller, prepare: {}) { socket, _ in try await body(socket) }
    }

    // MARK: The handshake

    private static func handshake(_ exchange: Exchange) throws(ServiceError) -> String {
        let fields = exchange.head.headerFields
        let isAsked =
            fields[.upgrade]?.lowercased().split(separator: ",").contains { $0.trimmed == "websocket" } == true
        guard isAsked, fields[.webSocketVersion] == WebSocketHandshake.version else {
            throw ServiceError(
                .upgradeRequired, "\(exchange.target.path) speaks WebSocket, version 13, and nothing else.",
                hint: "Open it as ws:// or wss:// with a WebSocket client.")
        }
        guard exchange.head.method == .get, (exchange.declaredLength ?? 0) == 0,
            exchange.head.headerFields[.transferEncoding] == nil,
            let accept = fields[.webSocketKey].flatMap({ WebSocketHandshake.accept($0) })
        else {
            throw ServiceError(
                .invalidRequest, "The request to upgrade is not one of RFC 6455.",
                hint: "It is a GET without a body and with a Sec-WebSocket-Key of 16 bytes in base64.")
        }
        return accept
    }

    private func take(_ user: UserID) throws(ServiceError) {
        let (total, own) = seats.taken.withLock { taken in
            let own = taken.byUser[user] ?? 0
            guard taken.total < limits.total, own < limits.ofOneCaller else { return (taken.total, own) }
            taken.total += 1
            taken.byUser[user] = own + 1
            return (-1, -1)
        }
        guard total >= 0 else { return }
        throw ServiceError(
            .tooManySockets,
            own >= limits.ofOneCaller
                ? "You have \(own) WebSockets open here, which is the most."
                : "This gateway has \(total) WebSockets open.",
            hint: "Close one, or try again later.")
    }

    private func leave(_ user: UserID) {
        seats.taken.withLock { taken in
            taken.total -= 1
            let own = (taken.byUser[user] ?? 1) - 1
            taken.byUser[user] = own > 0 ? own : nil
        }
    }

    // MARK: While it is open

    private enum Fate {
        case ended(WebSocketEnding)
        case failed(any Error)
    }

    /// Runs `body` until it returns, or something else ends it: the peer's close, its silence, its absence, a shutdown.
    private func ending(
        _ socket: WebSocketChannel, _ body: @escaping @Sendable () async throws -> WebSocketEnding
    ) async -> WebSocketEnding {
        await withTaskGroup(of: Fate?.self) { group in
            func race(_ work: @escaping @Sendable () async throws -> WebSocketEnding) {
                group.addTask {
                    do {
                        return .ended(try await work())
                    } catch is CancellationError {
                        return nil
                    } catch {
                        return .failed(error)
                    }
                }
            }
            race(body)
            race { [isShuttingDown] in
                try await isShuttingDown.wait()
                return WebSocketEnding(.goingAway, "the gateway is shutting down")
            }
            race {
                try await socket.clientLeft()
                return .gone
            }
            race { [limits] in try await socket.ping(every: limits.pingInterval, silence: limits.silence) }
            var fate: Fate?
            while fate == nil, let next = await group.next() { fate = next }
            group.cancelAll()
            // What hangs in a write to a peer that takes nothing ends with the connection.
            let cut = Task {
                try await Task.sleep(for: limits.closing)
                socket.cut()
            }
            await group.waitForAll()
            cut.cancel()
            return await told(fate, socket)
        }
    }

    private func told(_ fate: Fate?, _ socket: WebSocketChannel) async -> WebSocketEnding {
        switch fate {
        case .ended(let ending): return ending
        case .failed(let violation as WebSocketViolation): return WebSocketEnding(violation.code, violation.reason)
        case .failed(let closed as WebSocketChannel.ClosedByPeer): return .closedByPeer(closed.code)
        case .failed(is ClientLeft), nil: return .gone
        case .failed(let error):
            return WebSocketEnding(.internalError, "", error: error)
        }
    }

    private func close(_ socket: WebSocketChannel, _ tunnel: Tunnel, _ ending: WebSocketEnding, _ exchange: Exchange)
        async
    {
        let cut = Task {
            try await Task.sleep(for: limits.closing)
            tunnel.cut()
        }
        // Although the caller may be cancelled: this is bounded by the above.
        await Task {
            if let error = ending.error {
                let refusal = ServiceError(describing: error)
                if refusal.code == .internalError {
                    exchange.logger.error("a WebSocket failed", metadata: ["error": "\(error)"])
                } else {
                    exchange.logger.debug("a WebSocket failed", metadata: ["error": "\(error)"])
                }
                let text = String(buffer: refusal.responseBody(requestID: exchange.id))
                try? await socket.send(text: String(text.dropLast()))
            }
            if !ending.isGone { try? await socket.write(.close(ending.code, ending.reason)) }
            await tunnel.finish()
        }.value
        cut.cancel()
    }
}

/// How many there may be, and how long what may take. Written down in docs/API.md.
struct WebSocketLimits: Sendable {
    var ofOneCaller = 64
    var total = 2_000
    var pingInterval: Duration = .seconds(15)
    var silence: Duration = .seconds(30)
    /// For the last words to a peer that may take none.
    var closing: Duration = .seconds(2)
}

/// How a WebSocket ends.
struct WebSocketEnding: Sendable {
    var code: WebSocketCloseCode?
    var reason = ""
    fileprivate var error: (any Error)?
    fileprivate var isGone = false

    init(_ code: WebSocketCloseCode, _ reason: String = "", error: (any Error)? = nil) {
        self.code = code
        self.reason = reason
        self.error = error
    }

    private init(peer code: WebSocketCloseCode?) { self.code = code }

    static let normal = WebSocketEnding(.normal)
    fileprivate static func closedByPeer(_ code: WebSocketCloseCode?) -> WebSocketEnding { WebSocketEnding(peer: code) }
    fileprivate static var gone: WebSocketEnding {
        var ending = WebSocketEnding(peer: nil)
        ending.isGone = true
        return ending
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        let rest = drop { $0 == " " }
        return rest.prefix(upTo: (rest.lastIndex { $0 != " " }.map { rest.index(after: $0) }) ?? rest.startIndex)
    }
}

extension HTTPField.Name {
    static let webSocketAccept = HTTPField.Name("Sec-WebSocket-Accept")!
    static let webSocketKey = HTTPField.Name("Sec-WebSocket-Key")!
    static let webSocketVersion = HTTPField.Name("Sec-WebSocket-Version")!
}
