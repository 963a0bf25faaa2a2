import EventLoop

/// A stream of bytes to a program in a machine, one of many over one ``SSHSession``.
///
/// What is not read fills the channel's window (``SSHSession/windowSize``), and a full window stops its sender and
/// no other channel. Close it, or abandon it; one that is dropped is abandoned.
package final class SSHChannel: Sendable {
    package let session: SSHSession
    let number: Int

    init(session: SSHSession, number: Int) {
        self.session = session
        self.number = number
    }

    deinit { abandon() }

    /// Reads at least one and at most `limit` bytes; `nil` at the end. After a lost connection it still returns what
    /// had come, and then throws. Cancellation ends the wait at once and loses nothing.
    package func read(upTo limit: Int = 65_536) async throws -> [UInt8]? {
        try await session.read(number, .output, upTo: limit)
    }

    /// Returns when all bytes were handed to the connection: its speed is that of the program at the other end.
    /// Writes are carried out in the order they are called in, also one whose caller was cancelled meanwhile.
    package func write(_ bytes: [UInt8]) async throws {
        guard !bytes.isEmpty else { return }
        try await session.send(bytes, on: number)
    }

    /// Tells the peer that nothing more is written. Reading goes on.
    package func sendEOF() async throws { try await session.send(nil, on: number) }

    /// Closes the channel: what was not read or written is dropped. Returns when the peer has closed it too, or the
    /// caller is cancelled; it is closed all the same. Again does nothing.
    package func close() async { await session.close(number) }

    /// Has the channel closed in a moment (``SSHSession/conversationDelay``), when all that was to come has: there is
    /// something to be done before. Waits for nothing; ``abandon()`` does nothing then.
    package nonisolated func leave() {
        let (session, number) = (session, number)
        session.loop.execute { session.assumeIsolated { $0.leave(number) } }
    }

    /// Has the channel closed soon, and waits for nothing. For `onCancel` and `deinit`.
    package nonisolated func abandon() {
        let (session, number) = (session, number)
        session.loop.execute { session.assumeIsolated { $0.beginClosing(number) } }
    }
}
