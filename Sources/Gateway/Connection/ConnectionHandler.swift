import NIOCore
import NIOExtras
import NIOHTTP1

/// Watches over one HTTP/1 connection: its timeouts, when it may be used again, how it is closed, and whether the
/// client is still there. Sits between NIO's HTTP decoder and the loop that answers requests.
///
/// * A connection with no request under way is closed after `idleTimeout`; one whose head is under way gets
///   ``HeaderTimeout`` as an error `headerTimeout` after the head's first byte. A body's pace is the reader's affair.
/// * After a response it is kept for the next request unless either side said `Connection: close`, the client spoke
///   HTTP/1.0 or asked for an upgrade (NIO's decoder parses nothing after such a request), or the server shuts down.
/// * It is closed in two steps: our side first, the rest once the client has closed or `lingerTimeout` is over.
///   Closing at once with bytes unread makes the kernel reset the connection, and the client may lose our answer.
/// * After a response of 101 it is a tunnel: HTTP's decoder and encoder leave the pipeline, bytes come in as parts of a
///   body and go out as such, and the end of the response closes it as above. Nobody times it but who uses it.
/// * A client that closes its sending side (FIN) counts as gone (``clientLeft``): most are, and a run nobody reads
///   must end. What it asked before is answered all the same. ``closed`` opens when the connection is no more.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    /// A request seen and not yet answered whole.
    private struct Pending {
        let isHTTP10: Bool
        let isLast: Bool
    }

    private enum Phase {
        case betweenRequests
        case inHead  // its first bytes have come
        case inRequest
        case tunnel
        case lingering  // the last answer is out or under way; what comes is dropped
    }

    private let idleTimeout: TimeAmount
    private let headerTimeout: TimeAmount
    private let lingerTimeout: TimeAmount
    private let clientLeft: Latch
    private let closed: Latch

    private var pending = CircularBuffer<Pending>()
    private var phase = Phase.betweenRequests
    private var sawPart = false  // in the read under way
    private var closesAfterResponse = false
    private var deadline: NIODeadline?
    private var timer: Scheduled<Void>?

    init(
        idleTimeout: TimeAmount, headerTimeout: TimeAmount, lingerTimeout: TimeAmount, clientLeft: Latch, closed: Latch
    ) {
        self.idleTimeout = idleTimeout
        self.headerTimeout = headerTimeout
        self.lingerTimeout = lingerTimeout
        self.clientLeft = clientLeft
        self.closed = closed
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { setDeadline(in: idleTimeout, context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        end()
    }

    func channelActive(context: ChannelHandlerContext) {
        setDeadline(in: idleTimeout, context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    private func end() {
        clientLeft.open()
        closed.open()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ChannelShouldQuiesceEvent {
            closesAfterResponse = true
            if pending.isEmpty { context.close(promise: nil) }
            return
        }
        if case .inputClosed? = event as? ChannelEvent {
            clientLeft.open()
            closesAfterResponse = true
            if phase == .lingering || pending.isEmpty { context.close(promise: nil) }
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if phase == .lingering { return }
        sawPart = true
        if phase == .tunnel { return context.fireChannelRead(data) }
        switch unwrapInboundIn(data) {
        case .head(let head):
            phase = .inRequest
            deadline = nil
            let isOld = head.version.major < 1 || (head.version.major == 1 && head.version.minor == 0)
            let ends = isOld || !head.isKeepAlive || head.method == .CONNECT || head.headers.contains(name: "upgrade")
            pending.append(Pending(isHTTP10: isOld, isLast: ends))
        case .body: break
        case .end: phase = .betweenRequests
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Bytes came and made no part: they are the beginning of a head.
        if !sawPart, phase == .betweenRequests, pending.isEmpty {
            phase = .inHead
            setDeadline(in: headerTimeout, context)
        }
        sawPart = false
        context.fireChannelReadComplete()
    }

    // MARK: Responses

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(let head) where head.status == .switchingProtocols:
            context.writeAndFlush(data, promise: promise)
            beginTunnel(context)
        case .head(var head) where head.status.code >= 200:
            let request = pending.first
            if request?.isLast != false || head.headers["connection"].contains("close") { closesAfterResponse = true }
            if closesAfterResponse { head.headers.replaceOrAdd(name: "connection", value: "close") }
            head.version = request?.isHTTP10 == true ? .http1_0 : .http1_1  // an old client knows no chunks
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .head, .body:
            context.write(data, promise: promise)
        case .end:
            _ = pending.popFirst()
            if closesAfterResponse || phase == .tunnel {
                linger(after: data, promise, context)
            } else {
                context.write(data, promise: promise)
                if pending.isEmpty { setDeadline(in: idleTimeout, context) }
            }
        }
    }

    private func linger(after end: NIOAny, _ promise: EventLoopPromise<Void>?, _ context: ChannelHandlerContext) {
        phase = .lingering
        let flushed = promise ?? context.eventLoop.makePromise()
        flushed.futureResult.assumeIsolated().whenComplete { [self] _ in
            // Not before: with the client's side closed already, closing ours drops what is still unsent.
            context.close(mode: .output, promise: nil)
            setDeadline(in: lingerTimeout, context)
        }
        context.writeAndFlush(end, promise: flushed)
    }

    // MARK: Tunnels

    /// The decoder stopped after the request that asked for this; what has come behind it is handed on when it leaves.
    private func beginTunnel(_ context: ChannelHandlerContext) {
        phase = .tunnel
        deadline = nil
        let pipeline = context.pipeline.syncOperations
        do {
            let encoder = try pipeline.context(handlerType: HTTPResponseEncoder.self)
            let decoder = try pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(TunnelHandler(), position: .before(self))
            pipeline.removeHandler(context: encoder, promise: nil)
            pipeline.removeHandler(context: decoder, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    // MARK: Time

    private func setDeadline(in delay: TimeAmount, _ context: ChannelHandlerContext) {
        let due = NIODeadline.now() + delay
        let isEarlier = deadline.map { due < $0 } ?? true
        deadline = due
        // One timer serves many requests: it asks for the deadline when it fires. Only an earlier one needs another.
        if timer == nil || isEarlier { schedule(context) }
    }

    private func schedule(_ context: ChannelHandlerContext) {
        guard let deadline else { return }
        timer?.cancel()
        timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { [self] in
            timer = nil
            expire(context)
        }
    }

    private func expire(_ context: ChannelHandlerContext) {
        guard let deadline else { return }  // a request is under way
        guard NIODeadline.now() >= deadline else { return schedule(context) }
        self.deadline = nil
        switch phase {
        case .inHead:
            phase = .lingering  // what else arrives of that head is of no use
            context.fireErrorCaught(HeaderTimeout())
        case .betweenRequests, .inRequest, .tunnel, .lingering:
            context.close(promise: nil)
        }
    }
}

/// In the place of HTTP's decoder and encoder: bytes are parts of a body that never ends.
private final class TunnelHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.fireChannelRead(wrapInboundOut(.body(unwrapInboundIn(data))))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .body(.byteBuffer(let bytes)): context.write(wrapOutboundOut(bytes), promise: promise)
        case .body(.fileRegion), .head, .end: context.write(wrapOutboundOut(ByteBuffer()), promise: promise)
        }
    }
}

/// The head of a request took longer than it may.
struct HeaderTimeout: Error {}
