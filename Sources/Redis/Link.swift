import EventLoop
import Foundation
import Logging

/// One socket after another to the same server: connects, logs in, carries bytes out and replies in.
///
/// A state machine without tasks: it moves when the loop says that the descriptor is ready or a timer ran out, or
/// when its owner (an actor on the same loop) calls it, and tells the owner by ``Event``. It connects when told to
/// ``open()``, waiting out the backoff of earlier failures; after ``Event/down`` it is idle until told again.
///
/// `@unchecked Sendable`: everything in it is touched on the loop's thread only, which the public methods assert.
final class Link: @unchecked Sendable {
    enum Event: Sendable {
        case ready
        case reply(RedisValue)
        /// No connection any more, or none at all. Permanent: the server refused the login, trying again is vain.
        case down(RedisError, isPermanent: Bool)
    }

    private enum State {
        case idle
        case waiting(EventLoop.TimerID)  // for the backoff
        case connecting  // resolving a name, or `descriptor` is connecting
        case loggingIn(unanswered: Int)
        case ready
        case closed
    }

    private static let connectLimit = Duration.seconds(5)  // name, connect and login together
    private static let readSize = 65_536

    let endpoint: RedisEndpoint
    let loop: EventLoop
    private let name: String?
    private let logger: Logger
    private var handler: @Sendable (Event) -> Void = { _ in }

    private var state = State.idle
    private var failures = 0  // since the last login
    private var generation = 0  // of the socket: what was meant for an earlier one is dropped
    private var descriptor: Int32 = -1
    private var targets: ArraySlice<RedisSocket.Target> = []  // to try after the present one
    private var isResolving = false
    private var connectTimer: EventLoop.TimerID?
    private var reader: ReplyReader?
    private var output: [UInt8] = []
    private var sent = 0  // of `output`
    private var flushIsDue = false

    init(endpoint: RedisEndpoint, name: String?, loop: EventLoop, logger: Logger) {
        self.endpoint = endpoint
        self.name = name
        self.loop = loop
        self.logger = logger
    }

    deinit { precondition(descriptor < 0, "a link was dropped open: its owner must close it") }

    var isReady: Bool {
        loop.assertIsolated()
        if case .ready = state { return true }
        return false
    }

    var isClosed: Bool {
        if case .closed = state { return true }
        return false
    }

    /// Bytes taken by ``write`` that the kernel has not.
    var unsent: Int { output.count - sent }

    /// Who is told of events, on the loop. Must not hold the link's owner: the loop holds the link while it is open.
    func setHandler(_ handler: @escaping @Sendable (Event) -> Void) {
        loop.assertIsolated()
        self.handler = handler
    }

    /// Connects if nothing is under way. ``Event/ready`` or ``Event/down`` follows.
    func open() {
        loop.assertIsolated()
        guard case .idle = state else { return }
        if failures == 0 { return connect() }
        let timer = loop.schedule(after: Self.backoff(failures: failures)) { [self] in connect() }
        state = .waiting(timer)
    }

    /// 10-20 ms after the first failure, then twice as long each time, up to 1-2 s.
    private static func backoff(failures: Int) -> Duration {
        .milliseconds(Double.random(in: 0.5...1) * Double(min(2_000, 20 << min(failures - 1, 7))))
    }

    /// Sends bytes, at the end of this turn of the loop together with what else was written in it. Only when ready.
    func write(_ append: (inout [UInt8]) -> Void) {
        loop.assertIsolated()
        guard case .ready = state else { preconditionFailure("written to a link that is not ready") }
        send(append)
    }

    /// Gives up the connection, as if it had been lost.
    func drop(_ error: RedisError) {
        loop.assertIsolated()
        switch state {
        case .idle, .closed: break
        case .waiting, .connecting, .loggingIn, .ready: fail(error)
        }
    }

    /// Closes for good. No event follows.
    func close() {
        loop.assertIsolated()
        release()
        state = .closed
        handler = { _ in }
    }

    // MARK: Connecting

    private func connect() {
        state = .connecting
        let generation = generation
        connectTimer = loop.schedule(after: Self.connectLimit) { [self] in
            guard generation == self.generation else { return }
            connectTimer = nil
            fail(RedisError(.connectionFailed, "no connection within \(Self.connectLimit)"))
        }
        switch endpoint.address {
        case .unix(let path): resolved(.success([RedisSocket.unix(path: path)]))
        case .tcp(let host, let port):
            let numeric = RedisSocket.resolve(host: host, port: port, isNumeric: true)
            if case .success = numeric { resolved(numeric) } else { resolve(host: host, port: port) }
        }
    }

    /// Looks up a name on a thread of its own, for `getaddrinfo` blocks. One at a time: an attempt that finds an
    /// earlier one's still running takes its answer.
    private func resolve(host: String, port: Int) {
        guard !isResolving else { return }
        isResolving = true
        Thread.detachNewThread { [self] in
            let answer = RedisSocket.resolve(host: host, port: port, isNumeric: false)
            loop.execute { [self] in
                isResolving = false
                if case .connecting = state, descriptor < 0 { resolved(answer) }
            }
        }
    }

    private func resolved(_ answer: Result<[RedisSocket.Target], RedisError>) {
        switch answer {
        case .failure(let error): fail(error)
        case .success(let found):
            targets = found[...]
            connectToNextTarget(after: RedisError(.connectionFailed, "the name has no address"))
        }
    }

    private func connectToNextTarget(after error: RedisError) {
        var last = error
        while let target = targets.popFirst() {
            do throws(RedisError) {
                reader = try ReplyReader()
                descriptor = try RedisSocket.connect(to: target)
                loop.watch(descriptor, for: .write) { [self] in ready(for: $0) }
                return
            } catch {
                last = error
            }
        }
        fail(last)
    }

    private func connected() {
        if let error = RedisSocket.pendingError(of: descriptor) {
            loop.unwatch(descriptor)
            Foundation.close(descriptor)
            descriptor = -1
            return connectToNextTarget(after: error)
        }
        loop.setInterest(of: descriptor, to: .read)
        let commands = loginCommands
        state = .loggingIn(unanswered: commands.count)
        send { output in
            for command in commands { RedisArgument.encode(command, into: &output) }
        }
    }

    /// Ends with a PING: a server that is still loading its data answers it with an error.
    private var loginCommands: [[RedisArgument]] {
        var commands: [[RedisArgument]] = []
        if let password = endpoint.password {
            commands.append(["AUTH"] + (endpoint.user.map { [RedisArgument($0)] } ?? []) + [RedisArgument(password)])
        }
        if let name { commands.append(["CLIENT", "SETNAME", RedisArgument(name)]) }
        if endpoint.database != 0 { commands.append(["SELECT", RedisArgument(endpoint.database)]) }
        commands.append(["PING"])
        return commands
    }

    private func loginAnswered(_ reply: RedisValue, unanswered: Int) {
        if case .error(let text) = reply {
            let isPassing = ["LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN"].contains(text.prefix { $0 != " " })
            return fail(RedisError(.connectionFailed, "login refused: \(text)"), isPermanent: !isPassing)
        }
        guard unanswered == 1 else {
            state = .loggingIn(unanswered: unanswered - 1)
            return
        }
        connectTimer.map(loop.cancel)
        connectTimer = nil
        if failures > 0 { logger.info("connected to Redis", metadata: ["server": "\(endpoint)"]) }
        failures = 0
        state = .ready
        handler(.ready)
    }

    // MARK: Failing

    private func fail(_ error: RedisError, isPermanent: Bool = false) {
        release()
        failures += 1
        state = .idle
        let level: Logger.Level = failures == 1 ? .warning : .debug
        logger.log(level: level, "no connection to Redis", metadata: ["server": "\(endpoint)", "reason": "\(error)"])
        let named = RedisError(error.code, "\(endpoint): \(error.message)")
        handler(.down(named, isPermanent: isPermanent))
    }

    private func release() {
        generation += 1
        if case .waiting(let timer) = state { loop.cancel(timer) }
        connectTimer.map(loop.cancel)
        connectTimer = nil
        if descriptor >= 0 {
            loop.unwatch(descriptor)
            Foundation.close(descriptor)
            descriptor = -1
        }
        reader = nil
        targets = []
        output = []
        sent = 0
    }

    // MARK: Bytes

    private func ready(for readiness: EventLoop.Readiness) {
        if case .connecting = state { return connected() }
        let generation = generation
        if readiness.contains(.write) { flush() }
        if readiness.contains(.read), generation == self.generation { receive() }
    }

    private func send(_ append: (inout [UInt8]) -> Void) {
        append(&output)
        guard !flushIsDue else { return }
        flushIsDue = true
        loop.schedule(after: .zero) { [self] in
            flushIsDue = false
            if descriptor >= 0 { flush() }
        }
    }

    private func flush() {
        while sent < output.count {
            let count = output.withUnsafeBytes { bytes in
                Foundation.send(
                    descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            let code = errno
            if count >= 0 {
                sent += count
            } else if code == EAGAIN {
                return loop.setInterest(of: descriptor, to: [.read, .write])
            } else if code != EINTR {
                return fail(RedisError(.connectionLost, "connection lost: \(String(cString: strerror(code)))"))
            }
        }
        sent = 0
        output.removeAll(keepingCapacity: output.capacity <= 1 << 20)
        loop.setInterest(of: descriptor, to: .read)
    }

    /// Reads what is there, at most a few buffers a turn so that other descriptors get theirs.
    private func receive() {
        let generation = generation
        withUnsafeTemporaryAllocation(byteCount: Self.readSize, alignment: 16) { buffer in
            for _ in 0..<4 {
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                let code = errno
                if count > 0 {
                    take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    if count < buffer.count || generation != self.generation { return }
                } else if count == 0 {
                    return fail(RedisError(.connectionLost, "connection closed by the server"))
                } else if code == EAGAIN {
                    return
                } else if code != EINTR {
                    return fail(RedisError(.connectionLost, "connection lost: \(String(cString: strerror(code)))"))
                }
            }
        }
    }

    /// Parses and delivers. A delivery may drop or close this link: the generation tells.
    private func take(_ bytes: UnsafeRawBufferPointer) {
        let generation = generation
        do throws(RedisError) {
            try reader?.feed(bytes)
            while generation == self.generation, let reply = try reader?.next() {
                switch state {
                case .loggingIn(let unanswered): loginAnswered(reply, unanswered: unanswered)
                case .ready: handler(.reply(reply))
                case .idle, .waiting, .connecting, .closed: return
                }
            }
        } catch {
            if generation == self.generation { fail(error) }
        }
    }
}
