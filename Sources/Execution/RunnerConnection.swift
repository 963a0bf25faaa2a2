import Fleet
import Foundation
import SSH

/// One conversation with the runner of a VM: a channel, a request, frames until the run is over.
struct RunnerConnection: Sendable {
    /// What the runner says of a run, in order.
    enum Message: Sendable {
        case started(NetworkPolicy)
        case output(ExecutionEvent.Stream, [UInt8])
        case stdinCredit(Int)
        case exit(ExitReport)
        case refused(code: String, message: String)
    }

    /// What a request frame asks for (sandbox/README.md, "Request").
    struct Request {
        struct File {
            var path: String
            var content: String  // base64
        }
        struct Limits {
            var memoryMb: Int
            var cpuMs: Int
            var outputBytes: Int
            var processes: Int
        }
        /// `any`: `egress` if there is a way out of the VM.
        enum Network: String { case any, egress }
        var secret: String
        var op = "run"
        var id: String?
        var language: String?
        var code: String?
        var codeEncoding: String?
        var args: [String]?
        var env: [String: String]?
        var files: [File]?
        var timeoutMs: Int?
        var limits: Limits?
        var network: Network?  // nil: none

        var json: [UInt8] {
            var writer = JSONWriter(capacity: 512 + (code?.utf8.count ?? 0))
            writer.field("secret", secret)
            writer.field("op", op)
            writer.field("id", id)
            writer.field("language", language)
            writer.field("code", code)
            writer.field("codeEncoding", codeEncoding)
            if let args { writer.field("args", args) }
            if let env { writer.field("env", env) }
            if let files { writer.field("files", files.map { $0.json }) }
            writer.field("timeoutMs", timeoutMs)
            if let limits { writer.field("limits", json: limits.json) }
            writer.field("network", network?.rawValue)
            return writer.ended()
        }
    }

    private let channel: SSHChannel

    /// The most stdin that goes with a request: a runner takes twice as much before it gives credit.
    static let firstInput = 32 << 10

    /// Opens a channel and sends the request, and behind it in the same packet `input`, which is all of the program's
    /// stdin then, if it is not longer than ``firstInput``. Throws `SSHError`.
    static func open(
        _ request: Request, input: [UInt8]? = nil, port: Int, on session: SSHSession
    ) async throws -> RunnerConnection {
        var bytes = RunnerFrame.encode(.request, request.json)
        if let input {
            if !input.isEmpty { bytes += RunnerFrame.encode(.stdin, input) }
            bytes += RunnerFrame.encode(.stdinEnd, [])
        }
        return RunnerConnection(channel: try await session.beginDirectTCPIP(port: port, sending: bytes))
    }

    /// Sends what the input says, until the run is over. Throws `SSHError`, `CancellationError`.
    func send(_ input: RunInput) async throws {
        while let command = try await input.next() {
            let frame =
                switch command {
                case .stdin(let bytes): RunnerFrame.encode(.stdin, bytes)
                case .stdinEnd: RunnerFrame.encode(.stdinEnd, [])
                case .signal(let number):
                    withUnsafeBytes(of: number.littleEndian) { RunnerFrame.encode(.signal, Array($0)) }
                }
            try await channel.write(frame)
        }
    }

    /// Says that the program gets no input. Throws `SSHError`.
    func endInput() async throws { try await channel.write(RunnerFrame.encode(.stdinEnd, [])) }

    /// Hands over the messages as they come, those that came together at once, until the last, which is an exit or a
    /// refusal. Reading is what makes the program go on: `receive` suspending holds it up. Throws `SSHError` or
    /// ``RunnerProtocolError`` if the conversation is cut.
    func receive(_ receive: ([Message]) async throws -> Void) async throws {
        var decoder = RunnerFrameDecoder()
        while let bytes = try await channel.read(upTo: 65_536) {
            decoder.append(bytes)
            let (messages, isLast) = try Self.messages(&decoder)
            if isLast { channel.leave() }
            if !messages.isEmpty { try await receive(messages) }
            if isLast { return }
        }
        throw RunnerProtocolError(description: "the runner closed the connection in the middle of a run")
    }

    /// ``receive(_:)``, one after the other.
    func receiveEach(_ receive: (Message) async throws -> Void) async throws {
        try await self.receive { messages in
            for message in messages { try await receive(message) }
        }
    }

    /// Asks the runner about itself: `ping` or `runtimes`. Throws `SSHError`, and ``RunnerProtocolError`` for a refusal
    /// or an answer that makes no sense.
    static func ask<Answer: Decodable>(_ operation: String, of session: VMSession) async throws -> Answer {
        let connection = session.connection
        let runner = try await open(
            .init(secret: connection.runnerSecret, op: operation), port: connection.runnerPort, on: session.ssh)
        defer { runner.abandon() }
        var text: [UInt8] = []
        try await runner.receiveEach { message in
            switch message {
            case .output(.stdout, let bytes):
                guard text.count + bytes.count <= 1 << 20 else {
                    throw RunnerProtocolError(description: "an answer of over 1 MiB to '\(operation)'")
                }
                text += bytes
            case .refused(let code, let message):
                throw RunnerProtocolError(description: "'\(operation)' refused, \(code): \(message)")
            case .started, .output(.stderr, _), .stdinCredit, .exit: break
            }
        }
        do {
            return try JSONDecoder().decode(Answer.self, from: Data(text))
        } catch {
            throw RunnerProtocolError(description: "the answer to '\(operation)' does not decode: \(error)")
        }
    }

    /// Closes without waiting, which has the runner kill whatever of the run is left. Idempotent.
    func abandon() { channel.abandon() }

    /// What is there of them, and whether the last is the last of all.
    private static func messages(_ decoder: inout RunnerFrameDecoder) throws -> ([Message], isLast: Bool) {
        var messages: [Message] = []
        while let (kind, payload) = try decoder.next() {
            let message = try message(kind, payload)
            messages.append(message)
            switch message {
            case .exit, .refused: return (messages, true)
            case .started, .output, .stdinCredit: break
            }
        }
        return (messages, false)
    }

    private static func message(_ kind: RunnerFrame.Kind, _ payload: [UInt8]) throws -> Message {
        switch kind {
        case .started:
            // Of a runner that says nothing of it, none has.
            let hasEgress = String(decoding: payload, as: UTF8.self).contains("\"network\":\"egress\"")
            return .started(hasEgress ? .egress : .isolated)
        case .stdout: return .output(.stdout, payload)
        case .stderr: return .output(.stderr, payload)
        case .stdinCredit:
            guard payload.count == 4 else { throw RunnerProtocolError(description: "stdin credit of wrong size") }
            return .stdinCredit(payload.reversed().reduce(0) { $0 << 8 | Int($1) })
        case .exit: return .exit(try ExitReport(flat: payload) ?? decode(ExitReport.self, payload))
        case .refused:
            struct Refusal: Decodable {
                var code: String
                var message: String
            }
            let refusal = try decode(Refusal.self, payload)
            return .refused(code: refusal.code, message: refusal.message)
        }
    }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ payload: [UInt8]) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(payload))
        } catch {
            throw RunnerProtocolError(description: "\(type) does not decode: \(error)")
        }
    }
}

extension RunnerConnection.Request.File {
    fileprivate var json: [UInt8] {
        var writer = JSONWriter(capacity: 128 + content.utf8.count)
        writer.field("path", path)
        writer.field("content", content)
        writer.field("encoding", "base64")
        return writer.ended()
    }
}

extension RunnerConnection.Request.Limits {
    fileprivate var json: [UInt8] {
        var writer = JSONWriter(capacity: 128)
        writer.field("memoryMb", memoryMb)
        writer.field("cpuMs", cpuMs)
        writer.field("outputBytes", outputBytes)
        writer.field("processes", processes)
        return writer.ended()
    }
}
