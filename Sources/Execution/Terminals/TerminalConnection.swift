import Fleet
import Foundation
import SSH

/// What a terminal's holder says (sandbox/terminal.c).
package enum TerminalEvent: Sendable, Equatable {
    /// Output that was printed before follows, so many bytes of it. `hasWindow`: no more comes than ``TerminalConnection/take(_:)``
    /// lets come.
    case attached(replayed: Int, hasWindow: Bool)
    case output([UInt8])
    /// The program has ended, and the terminal with it.
    case ended(exitCode: Int?, signal: String?)
    /// It was opened elsewhere.
    case taken
}

/// The use of one terminal: a channel to its holder. Not reading holds up what prints; a write returns when SSH has it,
/// and SSH takes no more than the terminal does.
package struct TerminalConnection: Sendable {
    private let channel: SSHChannel

    /// The most that goes into one frame to the holder.
    private static let largestInput = 16 << 10

    /// Throws `SSHError`: `channelRefused` where no such terminal is any more.
    static func open(
        _ terminal: Terminal, _ size: TerminalSize, window: Int?, on session: SSHSession
    ) async throws -> TerminalConnection {
        struct Greeting: Encodable {
            let secret: String
            let rows: Int
            let columns: Int
            let window: Int?
        }
        let greeting = try JSONEncoder().encode(
            Greeting(secret: terminal.secret, rows: size.rows, columns: size.columns, window: window))
        let channel = try await session.openDirectTCPIP(port: terminal.port)
        try await channel.write(RunnerFrame.encode(.request, greeting))
        return TerminalConnection(channel: channel)
    }

    /// Hands over each event until the last, which is `ended` or `taken`. Throws `SSHError` or ``RunnerProtocolError``
    /// if it is cut.
    package func receive(_ receive: (TerminalEvent) async throws -> Void) async throws {
        var decoder = RunnerFrameDecoder()
        while let bytes = try await channel.read(upTo: 65_536) {
            decoder.append(bytes)
            var output: [UInt8] = []  // of frames that came together
            while let (kind, payload) = try decoder.next() {
                if kind == .stdout {
                    if output.isEmpty { output = payload } else { output += payload }
                    continue
                }
                if !output.isEmpty { try await receive(.output(output)) }
                output = []
                switch kind {
                case .started:
                    struct Started: Decodable {
                        let replayed: Int
                        let window: Int?  // holders of before there were windows say none
                    }
                    let started = try Self.decode(Started.self, payload)
                    try await receive(.attached(replayed: started.replayed, hasWindow: started.window ?? 0 > 0))
                case .exit:
                    struct Exit: Decodable {
                        let exitCode: Int?
                        let signal: String?
                    }
                    let exit = try Self.decode(Exit.self, payload)
                    return try await receive(.ended(exitCode: exit.exitCode, signal: exit.signal))
                case .refused: return try await receive(.taken)
                case .stdout, .stderr, .stdinCredit:
                    throw RunnerProtocolError(description: "a terminal's frame of type \(kind.rawValue)")
                }
            }
            if !output.isEmpty { try await receive(.output(output)) }
        }
        throw RunnerProtocolError(description: "the terminal's holder closed the connection")
    }

    /// Types bytes, in the order of the calls.
    package func type(_ bytes: [UInt8]) async throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            try await channel.write(RunnerFrame.encode(.stdin, rest.prefix(Self.largestInput)))
            rest = rest.dropFirst(Self.largestInput)
        }
    }

    package func resize(_ size: TerminalSize) async throws {
        let (rows, columns) = (UInt16(size.rows), UInt16(size.columns))
        try await channel.write(
            RunnerFrame.encode(
                .window,
                [
                    UInt8(truncatingIfNeeded: rows), UInt8(rows >> 8), UInt8(truncatingIfNeeded: columns),
                    UInt8(columns >> 8),
                ]))
    }

    /// Lets so many bytes more come, of a window: no more than have come.
    package func take(_ bytes: Int) async throws {
        let count = withUnsafeBytes(of: UInt32(truncatingIfNeeded: bytes).littleEndian) { Array($0) }
        try await channel.write(RunnerFrame.encode(.taken, count))
    }

    /// Leaves the terminal; it lives on. Idempotent, and waits for nothing.
    func abandon() { channel.abandon() }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ payload: [UInt8]) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(payload))
        } catch {
            throw RunnerProtocolError(description: "a terminal's frame does not decode: \(error)")
        }
    }
}
