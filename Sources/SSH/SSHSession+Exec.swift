import EventLoop

/// What a command left. Without a status and a signal, the server did not say how it ended.
package struct SSHCommandResult: Sendable {
    package let status: Int32?  // nil: ended by a signal
    package let signal: String?  // "SIGKILL"
    package let output: [UInt8]
    package let error: [UInt8]
}

extension SSHSession {
    /// Runs a command in the login shell of the machine's user, gives it `input` and then end of input, and collects
    /// what it prints, at most `outputLimit` bytes of each stream (what is over is read and dropped).
    ///
    /// Past the deadline it throws `timeout`; then, and when cancelled, the command finds its input and output closed,
    /// but nothing kills it: use `timeout(1)` for one that may hang. OpenSSH allows ten commands at once and refuses
    /// more (`channelRefused`).
    package func exec(
        _ command: String, input: [UInt8]? = nil, outputLimit: Int = 1 << 20, deadline: Duration = .seconds(30)
    ) async throws -> SSHCommandResult {
        do {
            return try await withDeadline(deadline, "end of the command") {
                try await self.run(command, input: input, outputLimit: outputLimit)
            }
        } catch is DeadlineExceeded {
            throw SSHError(.timeout, "\(endpoint): a command did not end within \(deadline)")
        }
    }

    private func run(_ command: String, input: [UInt8]?, outputLimit: Int) async throws -> SSHCommandResult {
        let channel = try await openSession()
        do {
            try await start("exec", command, on: channel)
            async let output = collect(.output, of: channel, limit: outputLimit)
            async let error = collect(.error, of: channel, limit: outputLimit)
            try await give(input ?? [], to: channel)
            let (outputBytes, errorBytes) = try await (output, error)
            let (status, signal) = try await ending(of: channel)
            await channel.close()
            return SSHCommandResult(
                status: signal == nil ? status : nil, signal: signal, output: outputBytes, error: errorBytes)
        } catch {
            channel.abandon()
            throw error
        }
    }

    private func give(_ input: [UInt8], to channel: SSHChannel) async throws {
        do {
            try await channel.write(input)
            try await channel.sendEOF()
        } catch let error as SSHError where error.code == .channelClosed {
            // It ended without reading all of its input: its own choice.
        }
    }

    private func collect(
        _ stream: ChannelHandle.Stream, of channel: SSHChannel, limit: Int
    ) async throws -> [UInt8] {
        var all: [UInt8] = []
        while let bytes = try await read(channel.number, stream, upTo: 65_536) {
            all.append(contentsOf: bytes.prefix(limit - all.count))
        }
        return all
    }

    /// Waits until the server has closed the channel, by when it has said how the command ended.
    private func ending(of channel: SSHChannel) async throws -> (status: Int32, signal: String?) {
        while true {
            guard let state = channels[channel.number] else { throw SSHError(.channelClosed, "closed here") }
            if state.isClosedByPeer, let ending = state.handle?.ending() { return ending }
            if let failure = state.failure { throw failure }
            let waiter = state.addReader()
            do {
                try await waiter.value()
            } catch {
                state.removeReader(waiter)
                throw error
            }
        }
    }
}
