import EventLoop
import Execution
import Fleet
import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import Gateway

extension GatewayOperations {
    static let caller = Caller(userID: UserID(), tokenID: TokenID(), role: .user, scopes: [.user], tier: .free)

    /// Knows one token, `mlt_good`, and runs what `produce` sends.
    static func running(
        _ produce:
            @escaping @Sendable (_ send: @escaping @Sendable (ExecutionEvent) async throws -> Void) async throws -> Void
    ) -> GatewayOperations {
        var operations = refusing
        operations.execute = { _, _, _, body in
            try await ExecutionEvents.produced(by: produce) {
                try await body(ExecutionID("4bf83d8a-0000-4000-8000-000000000000")!, $0)
            }
        }
        return operations
    }

    /// Knows one token and nothing else.
    static var refusing: GatewayOperations {
        let error = ServiceError(.serviceUnavailable, "Not part of this test.", hint: "None.")
        return GatewayOperations(
            authenticate: { $0 == "mlt_good" ? caller : nil }, execute: { _, _, _, _ in throw error },
            writeStdin: { _, _, _, _ in throw error }, cancel: { _, _ in throw error },
            executions: { _, _, _ in throw error }, execution: { _, _ in nil }, runtimes: { _ in [] },
            vm: { _ in nil }, createVM: { _, _, _, _ in throw error }, startVM: { _, _ in throw error },
            stopVM: { _, _ in throw error }, destroyVM: { _, _ in throw error },
            catalog: { Offer() }, trpc: .empty, provisionLog: { _ in [] },
            followProvisionLog: { _, _ in throw error }, tokens: { _ in [] },
            createToken: { _, _, _, _ in throw error },
            revokeToken: { _, _, _ in throw error },
            environments: EnvironmentOperations(
                list: { _, _, _ in throw error }, create: { _, _, _, _ in throw error }, find: { _, _ in throw error },
                update: { _, _, _, _ in throw error }, change: { _, _, _, _ in throw error },
                audit: { _, _, _, _ in throw error }, executions: { _, _, _, _ in throw error },
                log: { _, _ in throw error }, why: { _, _ in throw error }, follow: { _, _ in throw error },
                quota: { _ in throw error }),
            unreachable: { [:] })
    }
}

extension ExitReport {
    static func exited(_ code: Int) -> ExitReport {
        ExitReport(
            exitCode: code, signal: nil, reason: .exited, stage: .run, durationMs: 1, cpuMs: 1, maxRssBytes: 1,
            truncated: false)
    }
}

/// A gateway on a free port while `body` runs.
func withGateway(
    _ operations: GatewayOperations, _ configure: (inout GatewayConfiguration) -> Void = { _ in },
    _ body: (_ port: Int, _ shutDown: @escaping @Sendable () async -> Void) async throws -> Void
) async throws {
    var configuration = GatewayConfiguration(host: "127.0.0.1", port: 0)
    configure(&configuration)
    let port = Waiter<Int>()
    var logger = Logger(label: "martlet.gateway")
    logger.logLevel = .critical
    let service = GatewayService(operations: operations, configuration: configuration, logger: logger) {
        port.resume(with: .success($0))
    }
    let services = ServiceGroup(
        configuration: .init(
            services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)], logger: logger))
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
            do {
                try await services.run()
            } catch {
                port.resume(with: .failure(error))
                throw error
            }
        }
        try await body(try await port.value()) { await services.triggerGracefulShutdown() }
        group.cancelAll()
        do { try await group.waitForAll() } catch is CancellationError {}
    }
}

/// A client that sends and receives bytes as they are.
final class RawClient {
    let channel: any Channel
    private var iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private(set) var received: [UInt8] = []
    private(set) var isClosed = false

    /// Connects for as long as `body` runs.
    static func connected(to port: Int, receiveBuffer: Int? = nil, _ body: (RawClient) async throws -> Void)
        async throws
    {
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: SocketOptionValue(receiveBuffer))
        }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                    wrappingChannelSynchronously: channel,
                    configuration: .init(
                        backPressureStrategy: .init(lowWatermark: 1, highWatermark: 2),
                        isOutboundHalfClosureEnabled: true))
            }
        }
        try await channel.executeThenClose { inbound, outbound in
            try await body(RawClient(channel.channel, inbound.makeAsyncIterator(), outbound))
        }
    }

    private init(
        _ channel: any Channel, _ iterator: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.channel = channel
        self.iterator = iterator
        self.outbound = outbound
    }

    func send(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }
    func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

    /// A request with the good token; a body is announced with its length.
    func request(_ method: String, _ path: String, _ headers: [String] = [], body: String? = nil) async throws {
        var lines = ["\(method) \(path) HTTP/1.1", "Host: x", "Authorization: Bearer mlt_good"] + headers
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        try await send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
    }

    func execute(_ headers: [String] = [], body: String = #"{"code":"x","language":"python"}"#) async throws {
        try await request("POST", "/v1/execute", headers, body: body)
    }

    /// Ends the connection with a reset.
    func reset() async throws {
        let options = try #require(channel as? any SocketOptionProvider)
        try await options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
        try await channel.close()
    }

    /// Ends what is sent, and still reads.
    func finishSending() { outbound.finish() }

    /// Reads until `text` has come, and returns everything up to its end. Throws after ten seconds.
    @discardableResult
    func read(until text: String) async throws -> String {
        try await read {
            $0.firstRange(of: Array(text.utf8))?.upperBound
        } describing: {
            "'\(text)'"
        }
    }

    func read(count: Int) async throws -> String {
        try await read {
            $0.count >= count ? count : nil
        } describing: {
            "\(count) bytes"
        }
    }

    /// As they are, text or not.
    func read(bytes count: Int) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        _ = try await read {
            guard $0.count >= count else { return nil }
            bytes = Array($0[..<count])
            return count
        } describing: {
            "\(count) bytes"
        }
        return bytes
    }

    /// Reads to the end.
    func readToEnd() async throws -> String {
        try await read { [unowned self] in
            isClosed ? $0.count : nil
        } describing: {
            "the end"
        }
    }

    /// The server closes, and sends nothing more before.
    func expectEnd(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let rest = try await readToEnd()
        #expect(rest == "", sourceLocation: sourceLocation)
    }

    /// The server closes the rest, too, although this client does not: what is sent is answered by a reset.
    func expectReset() async throws {
        try await eventually(within: .seconds(5), describing: "the server gives up the connection") {
            do {
                try await send("x")
                return !channel.isActive
            } catch {
                return true
            }
        }
    }

    /// One whole answer with a length: its head and its body.
    func response() async throws -> (head: String, body: String) {
        let head = try await read(until: "\r\n\r\n")
        let field = head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
        let length = field.flatMap { Int($0.dropFirst(15).drop { $0 == " " }) } ?? 0
        return (head, try await read(count: length))
    }

    private func read(_ end: ([UInt8]) -> Int?, describing what: () -> String) async throws -> String {
        let watchdog = channel.eventLoop.scheduleTask(in: .seconds(10)) { [channel] in
            channel.close(promise: nil)
        }
        defer { watchdog.cancel() }
        while true {
            if let end = end(received) {
                let text = String(decoding: received[..<end], as: UTF8.self)
                received.removeSubrange(..<end)
                return text
            }
            guard !isClosed else { throw Closed(awaited: what(), received: String(decoding: received, as: UTF8.self)) }
            do {
                if let buffer = try await iterator.next(isolation: nil) {
                    received += buffer.readableBytesView
                } else {
                    isClosed = true
                }
            } catch is IOError {
                isClosed = true
            }
        }
    }

    struct Closed: Error {
        let awaited: String
        let received: String
    }
}

/// The data of a chunked body, and its trailers.
func unchunked(_ text: String) -> (data: String, trailers: String) {
    var bytes = Array(text.utf8)[...]
    var data: [UInt8] = []
    while let end = bytes.firstRange(of: Array("\r\n".utf8)),
        let length = Int(String(decoding: bytes[..<end.lowerBound], as: UTF8.self), radix: 16)
    {
        bytes = bytes[end.upperBound...]
        if length == 0 { return (String(decoding: data, as: UTF8.self), String(decoding: bytes, as: UTF8.self)) }
        data += bytes.prefix(length)
        bytes = bytes.dropFirst(length + 2)
    }
    return (String(decoding: data, as: UTF8.self), "cut")
}
