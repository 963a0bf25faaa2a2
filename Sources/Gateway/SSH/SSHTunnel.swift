import Execution
import Fleet
import NIOCore
import NIOPosix

/// Carries bytes between a WebSocket and the SSH server of a VM. What they say is between the two ends.
///
/// Each side is read only when the other has taken what was read before: a slow client stops the VM's server, and the other
/// way round. In memory are one message of the client's and a few reads of the server's.
struct SSHTunnel: Sendable {
    let socket: WebSocketChannel

    /// What the client is told in text frames before the first byte.
    struct Status: Encodable {
        let status: String
        let message: String
    }

    struct Ready: Encodable {
        struct Host: Encodable {
            let slug: String
            let user: String
            let hostKey: String
            let keys: Int
        }
        let ready: Host

        init(_ place: SSHServerPlace) {
            let host = place.server
            ready = Host(
                slug: host.environment.slug.rawValue, user: host.user, hostKey: host.hostKey, keys: place.keys)
        }
    }

    func tell(_ word: some Encodable) async throws {
        try await socket.send(text: String(decoding: try JSONView.encode(word), as: UTF8.self))
    }

    /// Returns when the server has closed its connection. Throws what the socket throws, and `vm_unreachable`.
    func carry(to place: SSHServerPlace) async throws {
        let channel = try await connected(to: place)
        try await tell(Ready(place))
        try await channel.executeThenClose { inbound, outbound in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { [socket] in
                    do {
                        for try await bytes in inbound { try await socket.send(Array(bytes.readableBytesView)) }
                    } catch is IOError {}  // a VM that is stopped resets it
                }
                group.addTask { [socket] in
                    while true {
                        guard case .binary(let bytes) = try await socket.next() else {
                            throw WebSocketRefusal.text
                        }
                        do {
                            try await outbound.write(ByteBuffer(bytes: bytes))
                        } catch is ChannelError {
                            return
                        } catch is IOError {
                            return
                        }
                    }
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }
    }

    /// The client said what has no meaning here.
    enum WebSocketRefusal: Error { case text }

    private func connected(to place: SSHServerPlace) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
        do {
            return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(.seconds(10))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
                .connect(host: place.host, port: place.port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                            wrappingChannelSynchronously: channel,
                            configuration: .init(backPressureStrategy: .init(lowWatermark: 1, highWatermark: 4)))
                    }
                }
        } catch let error as NIOConnectionError {
            throw unreachable(place, error)
        } catch let error as IOError {
            throw unreachable(place, error)
        }
    }

    private func unreachable(_ place: SSHServerPlace, _ error: any Error) -> ServiceError {
        ServiceError(
            .vmUnreachable, "VM '\(place.server.environment.slug)' does not answer over SSH.",
            hint: "Stop and start it: 'martlet vm stop', 'martlet vm start'.", cause: error)
    }
}
