import CLibSSH2
package import EventLoop
import Foundation
package import Logging

extension SSHSession {
    /// Connects, has the server prove that it owns the pinned host key, and logs in. Throws `connectFailed`,
    /// `hostKeyMismatch`, `authenticationFailed`, `timeout`, or `CancellationError`, and leaves nothing open.
    ///
    /// The session must be closed by whoever connected it. `keepalive` is how long the connection may be silent before
    /// the server is asked for a sign of life; after three times that it counts as lost.
    package static func connect(
        to endpoint: SSHEndpoint, timeout: Duration = .seconds(10), keepalive: Duration = .seconds(15),
        loop: EventLoop = .next(), logger: Logger
    ) async throws -> SSHSession {
        let session = SSHSession(endpoint: endpoint, keepaliveInterval: keepalive, loop: loop, logger: logger)
        do {
            try await withDeadline(timeout, "SSH login") {
                try await session.logIn()
                try await session.settleNagle()
            }
            return session
        } catch {
            let awaited = await session.awaited
            await session.close()
            guard error is DeadlineExceeded else { throw error }
            throw SSHError(.timeout, "\(endpoint): no \(awaited) within \(timeout)")
        }
    }

    /// What a connect that takes too long waits for.
    private var awaited: String {
        if case .connecting(let awaited) = life { return awaited }
        return "answer to the first command"
    }

    /// OpenSSH turns Nagle's algorithm off at the first command of a connection, and only then; with it on, an answer
    /// over a forwarded port waits for our delayed acknowledgement, 44 ms instead of 0.7 (measured, OpenSSH 9.2). So
    /// one command is started, and not waited for, unless the greeting says that it is off (`sandbox/init.c`).
    private func settleNagle() async throws {
        guard handle?.greeting.hasSuffix(" tcp-nodelay") != true else { return }
        do {
            let channel = try await openSession()
            try await start("exec", "true", on: channel)
            channel.abandon()
        } catch let error as SSHError where error.code == .channelRefused {
            logger.debug("no command allowed over SSH: answers may be delayed", metadata: ["reason": "\(error)"])
        }
    }

    private func logIn() async throws {
        let pinned = try HostKey(endpoint.hostKey)
        let handle = try await SessionHandle(adopting: connectedSocket())
        handle.preferMethods(hostKey: pinned.algorithm)

        life = .connecting(awaiting: "SSH handshake")
        try await repeating(handle) { () throws(SSHError) in try handle.handshake() }
        let presented = handle.hostKey
        guard presented == pinned.blob else {
            throw SSHError(
                .hostKeyMismatch,
                """
                \(endpoint): the server's host key is \(HostKey.fingerprint(of: presented)), \
                pinned is \(HostKey.fingerprint(of: pinned.blob))
                """)
        }

        life = .connecting(awaiting: "authentication")
        let (user, privateKey) = (endpoint.user, endpoint.privateKey)
        try await repeating(handle) { () throws(SSHError) in
            try handle.authenticate(user: user, privateKey: privateKey)
        }
        start(handle)
    }

    /// Calls the library whenever the socket is ready, until it is done.
    private func repeating(_ handle: SessionHandle, _ attempt: () throws(SSHError) -> Attempt<Void>) async throws {
        while true {
            try Task.checkCancellation()
            do {
                let result = try handle.receiving(atMost: .max, attempt)
                let isSent = try handle.flush()
                if case .done = result, isSent { return }
                _ = try await loop.readiness(of: handle.descriptor, for: isSent ? .read : [.read, .write])
            } catch let error as SSHError {
                throw error.at("\(endpoint)")
            }
        }
    }

    private func connectedSocket() async throws -> Int32 {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(endpoint.host, String(endpoint.port), &hints, &list)
        guard code == 0, let address = list else {
            throw SSHError(.connectFailed, "\(endpoint): not an address: \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        let descriptor = cssh2_socket(address.pointee.ai_family)
        guard descriptor >= 0 else { throw failure(errno) }
        do {
            cssh2_set_nodelay(descriptor)
            if CLibSSH2.connect(descriptor, address.pointee.ai_addr, address.pointee.ai_addrlen) != 0 {
                let code = errno
                guard code == EINPROGRESS || code == EINTR else { throw failure(code) }
                _ = try await loop.readiness(of: descriptor, for: .write)
                let result = cssh2_connect_error(descriptor)
                guard result == 0 else { throw failure(result) }
            }
        } catch {
            CLibSSH2.close(descriptor)
            throw error
        }
        return descriptor
    }

    private func failure(_ code: Int32) -> SSHError {
        SSHError(.connectFailed, "\(endpoint): \(String(cString: strerror(code)))")
    }
}
