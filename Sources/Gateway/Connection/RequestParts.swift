import EventLoop
import Fleet
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// The requests of one connection, read part by part: a head, then its body, then the next head. What is not read
/// stays in the socket, so a body nobody takes is not taken from the client either.
///
/// Unchecked because of `iterator` and `position`, which only the connection's loop and the one handler it runs
/// touch, and never at the same time: the loop waits for the handler. The handler hands a child task the parts only
/// where it waits for that child.
final class RequestParts: @unchecked Sendable {
    private enum Position {
        case betweenRequests
        case inBody(wantsContinue: Bool)
    }

    private var iterator: NIOAsyncChannelInboundStream<HTTPRequestPart>.AsyncIterator
    private var position = Position.betweenRequests
    private let channel: any Channel

    init(_ stream: NIOAsyncChannelInboundStream<HTTPRequestPart>, channel: any Channel) {
        iterator = stream.makeAsyncIterator()
        self.channel = channel
    }

    /// Whether all of the request's body has been read.
    var isAtEnd: Bool {
        if case .betweenRequests = position { true } else { false }
    }

    /// Whether the client still waits to be told to send its body, and so may or may not send it.
    var isBodyInDoubt: Bool {
        if case .inBody(wantsContinue: true) = position { true } else { false }
    }

    /// The next request's head, or `nil` when the client will send none. What is left of the body before is skipped.
    func head() async throws -> HTTPRequest? {
        while let part = try await iterator.next() {
            guard case .head(let head) = part else { continue }
            position = .inBody(wantsContinue: head.headerFields[.expect]?.lowercased() == "100-continue")
            return head
        }
        position = .betweenRequests
        return nil
    }

    /// The next bytes of the body, or `nil` at its end. Throws ``ClientLeft`` if the client went away before that,
    /// ``ProtocolRefusal`` if what came is no body.
    func body() async throws -> ByteBuffer? {
        guard case .inBody(let wantsContinue) = position else { return nil }
        if wantsContinue {
            // curl waits a second for this before it sends more than a megabyte.
            position = .inBody(wantsContinue: false)
            channel.writeAndFlush(HTTPResponsePart.head(HTTPResponse(status: .continue)), promise: nil)
        }
        let part: HTTPRequestPart?
        do {
            part = try await iterator.next()
        } catch HTTPParserError.invalidEOFState {
            throw ClientLeft()
        } catch let error as HTTPParserError {
            throw ProtocolRefusal(error)
        }
        switch part {
        case .body(let bytes): return bytes
        case .end:
            position = .betweenRequests
            return nil
        case .head, nil: throw ClientLeft()
        }
    }
}

extension RequestParts {
    /// What comes once the connection is a tunnel (``ConnectionHandler``); `nil` at its end.
    func raw() async throws -> ByteBuffer? {
        while let part = try await iterator.next() {
            switch part {
            case .body(let bytes): return bytes
            case .head, .end: position = .betweenRequests  // that of the request itself
            }
        }
        return nil
    }
}

/// The client closed the connection, or its sending side, before it had its answer.
struct ClientLeft: Error {}
