import NIOCore
import NIOHTTP1
import NIOPosix

/// A request as it came in.
struct Request: Sendable {
    var method: String
    var uri: String
    var headers: HTTPHeaders
    var body: [UInt8]
}

/// What goes back; `nil` instead of it closes the connection.
struct Reply: Sendable {
    var status: Int
    var headers: [(String, String)] = []
    var body: [UInt8]
}

/// HTTP/1.1 on a port of loopback, kept alive, one request at a time in each connection.
struct Front: Sendable {
    private typealias Connection = NIOAsyncChannel<HTTPServerRequestPart, HTTPServerResponsePart>

    private static let bodyLimit = 4 << 20

    /// Serves until cancelled. `ready` hears the port.
    static func serve(
        port: Int, ready: @Sendable (Int) async -> Void,
        _ answer: @escaping @Sendable (Request) async throws -> Reply?
    ) async throws {
        let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .bind(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    return try Connection(wrappingChannelSynchronously: channel)
                }
            }
        await ready(server.channel.localAddress?.port ?? port)
        try await withThrowingDiscardingTaskGroup { group in
            try await server.executeThenClose { connections in
                for try await connection in connections {
                    group.addTask {
                        // A client that hangs up is none of our failures.
                        do { try await converse(connection, answer) } catch {}
                    }
                }
            }
        }
    }

    private static func converse(
        _ connection: Connection, _ answer: @Sendable (Request) async throws -> Reply?
    ) async throws {
        try await connection.executeThenClose { inbound, outbound in
            var request: Request?
            for try await part in inbound {
                switch part {
                case .head(let head):
                    request = Request(method: head.method.rawValue, uri: head.uri, headers: head.headers, body: [])
                case .body(let bytes):
                    request?.body += Array(buffer: bytes)
                    if (request?.body.count ?? 0) > bodyLimit { return }
                case .end:
                    guard let whole = request, let reply = try await answer(whole) else { return }
                    request = nil
                    var headers = HTTPHeaders(reply.headers)
                    headers.add(name: "Content-Length", value: String(reply.body.count))
                    try await outbound.write(contentsOf: [
                        .head(
                            HTTPResponseHead(
                                version: .http1_1, status: HTTPResponseStatus(statusCode: reply.status),
                                headers: headers)),
                        .body(.byteBuffer(ByteBuffer(bytes: reply.body))), .end(nil),
                    ])
                }
            }
        }
    }
}
