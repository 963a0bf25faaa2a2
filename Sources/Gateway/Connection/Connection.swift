import EventLoop
import Glibc
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1

/// One accepted connection.
struct Connection: ServerChildChannelValue {
    let stream: NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>
    let clientLeft: Latch
    let closed: Latch
    let cutsShort: Latch

    var channel: any Channel { stream.channel }

    /// Writes and returns when the kernel has all of it. Cancelling closes the connection: there is no other way to
    /// take back bytes the client does not read.
    func flushed(_ part: HTTPResponsePart) async throws {
        try await withTaskCancellationHandler {
            try await channel.writeAndFlush(part).get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }
}

/// Sets up connections for Hummingbird's server and answers their requests, one after another.
///
/// The loop is our own, because a run needs what Hummingbird's does not give: a head that is written only once the
/// run is admitted, with everything in the same scope; word of a client that left without ending the connection for
/// the next request; refusals that do not first read what they refuse; and our form of error for bad HTTP.
struct ConnectionSetup: ServerChildChannel {
    let configuration: GatewayConfiguration
    let cutsShort: Latch
    let answer: @Sendable (Exchange) async -> Void

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Connection> {
        channel.eventLoop.makeCompletedFuture {
            let options = channel.syncOptions
            try options?.setOption(.tcpOption(.tcp_nodelay), value: 1)
            // Hosts that vanish without a word are found out by probes, one a minute after a minute of silence.
            try options?.setOption(.socketOption(.so_keepalive), value: 1)
            try options?.setOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: 60)
            try options?.setOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: 60)
            // A client that takes nothing for so long is given up, also if it is still there (tcp(7), zero window).
            let stall = SocketOptionValue(configuration.stallTimeout.milliseconds)
            try options?.setOption(.tcpOption(.init(rawValue: TCP_USER_TIMEOUT)), value: stall)
            let pipeline = channel.pipeline.syncOperations
            var limits = NIOHTTPDecoderLimitConfiguration()
            limits.maxHeaderFieldSize = configuration.headerLimit
            limits.maxHeaderListSize = configuration.headerLimit
            limits.maxHeaderFieldCount = 200
            try pipeline.addHandler(HTTPResponseEncoder())
            // What a client sends behind a request that asks for a tunnel is the tunnel's.
            try pipeline.addHandler(
                ByteToMessageHandler(
                    HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits)))
            let clientLeft = Latch()
            let closed = Latch()
            try pipeline.addHandler(
                ConnectionHandler(
                    idleTimeout: TimeAmount(configuration.idleTimeout),
                    headerTimeout: TimeAmount(configuration.headerTimeout),
                    lingerTimeout: TimeAmount(configuration.lingerTimeout), clientLeft: clientLeft, closed: closed))
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            return Connection(
                stream: try NIOAsyncChannel(
                    wrappingChannelSynchronously: channel,
                    configuration: .init(isOutboundHalfClosureEnabled: true)),
                clientLeft: clientLeft, closed: closed, cutsShort: cutsShort)
        }
    }

    func handle(value connection: Connection, logger: Logger) async {
        do {
            // Where what answers speaks with databases and VMs: see ``EventLoop/tasks``.
            let tasks = EventLoop.next().tasks
            try await withTaskCancellationHandler {
                try await connection.stream.executeThenClose { inbound, _ in
                    let parts = RequestParts(inbound, channel: connection.channel)
                    if await withTaskExecutorPreference(
                        tasks, operation: { await serve(parts, of: connection, logger) }
                    ) {
                        // The handler closes when the client has, or soon after.
                        try await connection.channel.closeFuture.get()
                    } else {
                        try await connection.channel.close()
                    }
                }
            } onCancel: {
                connection.channel.close(promise: nil)
            }
        } catch {
            logger.trace("a connection ended with an error", metadata: ["error": "\(error)"])
        }
    }

    /// Answers requests until the connection takes no more. Returns whether the last answer is whole, so that the
    /// client may be left to read it.
    private func serve(_ parts: RequestParts, of connection: Connection, _ logger: Logger) async -> Bool {
        while true {
            let head: HTTPRequest
            do {
                guard let next = try await parts.head() else { return true }
                head = next
            } catch is CancellationError {
                return false
            } catch {
                return await refuse(error, parts, connection, logger)
            }
            let exchange = Exchange(head: head, parts: parts, connection: connection, logger: logger)
            await answer(exchange)
            guard exchange.isAnswered else { return false }
        }
    }

    /// What came was no request.
    private func refuse(
        _ error: any Error, _ parts: RequestParts, _ connection: Connection, _ logger: Logger
    ) async -> Bool {
        let refusal = ProtocolRefusal(error)
        let exchange = Exchange(
            head: HTTPRequest(method: .get, scheme: "http", authority: nil, path: "/"), parts: parts,
            connection: connection, logger: logger)
        do {
            try await exchange.respond(
                refusal.status, headers: [.contentType: "application/json", .connection: "close"],
                body: refusal.error.responseBody(requestID: exchange.id))
            return true
        } catch {
            return false
        }
    }
}

extension Duration {
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}
