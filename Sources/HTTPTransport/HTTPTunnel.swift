import EventLoop

/// Bytes in both directions over the connection that an URL leads to, after whatever TLS and proxy there are: for what
/// begins as HTTP and goes on as something else. One task may read while another writes.
package struct HTTPTunnel: Sendable {
    let engine: TransferEngine
    let transfer: TransferEngine.ID

    /// At least one byte; `nil` once the server has closed its side. Reading is what makes the server's bytes come.
    package func read(upTo limit: Int = 65_536) async throws -> [UInt8]? {
        try await engine.receive(transfer, upTo: limit)
    }

    /// Returns once the kernel has all of it.
    package func write(_ bytes: [UInt8]) async throws { try await engine.send(bytes, to: transfer) }
}

extension HTTPClient {
    /// Connects to where a request would go, and lends the connection; nothing is said on it. Leaving the closure closes it.
    package func connecting<Result>(
        to request: HTTPRequest, _ body: (HTTPTunnel) async throws -> Result
    ) async throws -> Result {
        try request.validate()
        let transfer = try await engine.connect(request)
        do {
            let result = try await body(HTTPTunnel(engine: engine, transfer: transfer))
            await engine.end(transfer)
            return result
        } catch {
            await engine.end(transfer)
            throw error
        }
    }
}

/// The socket of a connection that libcurl has made and does not watch. Belongs to its ``TransferEngine`` and is touched on
/// its loop only. It is watched while somebody waits for it, and no longer: an error that nobody fetches would be told
/// again and again.
final class BareSocket {
    private let descriptor: Int32
    private var reader: Waiter<Void>?
    private var writer: Waiter<Void>?
    private var isWatched = false
    private var hasEnded = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// One who waits for each. Throws `CancellationError`, also when the connection is left meanwhile.
    func readiness(
        for interest: EventLoop.Readiness, on loop: EventLoop, isolation: isolated (any Actor)? = #isolation
    ) async throws {
        if hasEnded { throw CancellationError() }
        let waiter = Waiter<Void>()
        if interest.contains(.read) { reader = waiter } else { writer = waiter }
        update(loop)
        try await waiter.value()
    }

    /// Before the descriptor is closed.
    func end(_ loop: EventLoop) {
        hasEnded = true
        for waiter in [reader, writer] { waiter?.resume(with: .failure(CancellationError())) }
        (reader, writer) = (nil, nil)
        update(loop)
    }

    private func update(_ loop: EventLoop) {
        var interest: EventLoop.Readiness = []
        if reader != nil { interest.insert(.read) }
        if writer != nil { interest.insert(.write) }
        if interest.isEmpty {
            if isWatched { loop.unwatch(descriptor) }
            isWatched = false
        } else if isWatched {
            loop.setInterest(of: descriptor, to: interest)
        } else {
            isWatched = true
            loop.watch(descriptor, for: interest) { [weak self] ready in self?.wake(ready, loop) }
        }
    }

    private func wake(_ ready: EventLoop.Readiness, _ loop: EventLoop) {
        if ready.contains(.read) {
            reader?.resume(with: .success(()))
            reader = nil
        }
        if ready.contains(.write) {
            writer?.resume(with: .success(()))
            writer = nil
        }
        update(loop)
    }
}
