package import Fleet
import Foundation
import SSH

/// Terminals of VMs. The VM's own program keeps each behind a port of its loopback device (sandbox/terminal.c), is the only
/// one who knows which there are, and is asked by commands over the session that runs share. So any gateway serves any
/// terminal, and none of them keeps anything; a VM that stops takes its terminals with it.
extension ExecutionService {
    /// Those that live; none where the VM does not run, which is not woken for it. Throws `environment_not_found`,
    /// `vm_unreachable`, `host_key_mismatch`.
    package func terminals(of name: String?, caller: Caller, requestID: String) async throws -> [Terminal] {
        guard let environment = try await known(name, caller: caller, requestID: requestID),
            environment.state == .running
        else { return [] }
        struct List: Decodable { let terminals: [Terminal] }
        let list: List = try await command("list", in: environment)
        return list.terminals.sorted { ($0.createdAt, $0.id.rawValue) < ($1.createdAt, $1.id.rawValue) }
    }

    /// Wakes the VM, and makes the terminal if it is not there. `report` is told what takes time. Throws what waking throws,
    /// `too_many_terminals`, `disk_full`, `vm_unreachable`, `host_key_mismatch`.
    package func makeTerminal(
        _ request: TerminalRequest, of name: String?, caller: Caller, requestID: String,
        report: @escaping @Sendable (String) async throws -> Void = { _ in }
    ) async throws -> TerminalPlace {
        let found = try await resolve(name, caller: caller, requestID: requestID)
        let environment = try await waker.wake(found, for: caller, requestID: requestID) { _, message in
            try await report(message)
        }
        struct Start: Encodable {
            let id: String
            let rows: Int
            let columns: Int
            let command: String?
            let env: [String: String]
        }
        let fleet = fleet
        let shared = try await variables.variables(of: environment) { try await fleet.environments.variables(of: $0) }
        let start = Start(
            id: request.id.rawValue, rows: request.size.rows, columns: request.size.columns, command: request.command,
            env: shared)
        let terminal: Terminal = try await command("start", input: start, in: environment)
        return TerminalPlace(terminal: terminal, environment: environment)
    }

    /// Throws `environment_not_found`, `terminal_not_found`, `vm_unreachable`, `host_key_mismatch`.
    package func terminal(
        _ id: TerminalID, of name: String?, caller: Caller, requestID: String
    ) async throws -> TerminalPlace {
        guard let environment = try await known(name, caller: caller, requestID: requestID),
            environment.state == .running
        else { throw Self.notFound(id) }
        struct List: Decodable { let terminals: [Terminal] }
        let list: List = try await command("list", in: environment)
        guard let terminal = list.terminals.first(where: { $0.id == id }) else { throw Self.notFound(id) }
        return TerminalPlace(terminal: terminal, environment: environment)
    }

    /// Hangs it up. Throws as ``terminal(_:of:caller:requestID:)``.
    package func endTerminal(_ id: TerminalID, of name: String?, caller: Caller, requestID: String) async throws {
        guard let environment = try await known(name, caller: caller, requestID: requestID),
            environment.state == .running
        else { throw Self.notFound(id) }
        struct Ended: Decodable { let ended: String }
        let _: Ended = try await command("end \(id.rawValue)", in: environment)
    }

    /// Lends a terminal. Leaving `body` leaves it to itself. With a window, of ``TerminalWindow/range``, no more output is on its
    /// way than that, wherever, until it is taken. Its VM counts as used meanwhile, so it is not stopped.
    /// Throws `terminal_not_found` where it has gone, `vm_unreachable` where the connection is cut, and what `body` throws.
    package func withTerminal<Result: Sendable>(
        _ place: TerminalPlace, size: TerminalSize, window: Int? = nil,
        _ body: @escaping @Sendable (TerminalConnection) async throws -> Result
    ) async throws -> Result {
        try await fleet.sessions.withHold(on: place.environment.id, kind: "terminal") {
            try await reaching(place.environment) { session in
                let connection: TerminalConnection
                do {
                    connection = try await TerminalConnection.open(
                        place.terminal, size, window: window, on: session.ssh)
                } catch let error as SSHError where error.code == .channelRefused {
                    throw Self.notFound(place.terminal.id)
                }
                defer { connection.abandon() }
                return try await body(connection)
            }
        }
    }

    // MARK: The VM

    /// `nil`: the caller has no VM.
    private func known(_ name: String?, caller: Caller, requestID: String) async throws -> Environment? {
        if let name {
            return try await fleet.environments.authorized(
                name, for: caller, to: "terminals", requestID: requestID, admitsAdmins: false)
        }
        return try await fleet.environments.userVM(of: caller.userID)
    }

    private static func notFound(_ id: TerminalID) -> ServiceError {
        ServiceError(
            .terminalNotFound, "There is no terminal '\(id)'.",
            hint: "It ends with its program, after an hour without anybody, and when the VM stops. Make another.")
    }

    private func reaching<Result>(
        _ environment: Environment, _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        do {
            return try await withRunner(of: environment, body)
        } catch let error as VMUnreachable {
            throw error.serviceError(environment)
        }
    }

    private struct Nothing: Encodable {}

    private struct Refusal: Decodable {
        let refused: String
        let message: String
    }

    private func command<Answer: Decodable>(_ words: String, in environment: Environment) async throws -> Answer {
        try await command(words, input: Nothing(), in: environment)
    }

    private func command<Answer: Decodable>(
        _ words: String, input: some Encodable, in environment: Environment
    ) async throws -> Answer {
        let bytes = [UInt8](try JSONEncoder().encode(input))
        return try await reaching(environment) { session in
            let program = "\(configuration.runnerInVM) terminal \(words)"
            var result = try await session.ssh.exec(program, input: bytes)
            if result.status == 127, let installer,
                try await installer.install(in: environment, by: session.connection)
            {
                result = try await session.ssh.exec(program, input: bytes)
            }
            return try Self.answer(of: result, to: words, in: environment)
        }
    }

    /// The line that counts; a login shell's start-up files may have printed others.
    private static func answer<Answer: Decodable>(
        of result: SSHCommandResult, to words: String, in environment: Environment
    ) throws -> Answer {
        let marker = Array("martlet-terminal ".utf8)
        guard let line = result.output.split(separator: UInt8(ascii: "\n")).last(where: { $0.starts(with: marker) })
        else {
            throw ServiceError(
                .vmUnreachable, "VM '\(environment.slug)' has no terminals to give (status \(result.status ?? -1)).",
                hint: "Stop and start it, which brings it up to date. A shell that cannot start has none either.",
                cause: RunnerProtocolError(description: String(decoding: result.error.suffix(1_000), as: UTF8.self)))
        }
        let json = Data(line.dropFirst(marker.count))
        if let refusal = try? JSONDecoder().decode(Refusal.self, from: json) {
            switch refusal.refused {
            case "not_found": throw ServiceError(.terminalNotFound, refusal.message, hint: "See GET /v1/terminals.")
            case "too_many": throw ServiceError(.tooManyTerminals, refusal.message, hint: "End some.")
            case "disk_full":
                throw ServiceError(
                    .diskFull, "The VM's disk is full.", hint: "Remove files, by 'martlet run' or /v1/files.")
            default:
                throw ServiceError(
                    .vmUnreachable, "VM '\(environment.slug)' gave no terminal: \(refusal.message).",
                    hint: "Stop and start it; tell an admin the request id if it stays.")
            }
        }
        do {
            return try JSONDecoder().decode(Answer.self, from: json)
        } catch {
            throw RunnerProtocolError(description: "the answer to 'terminal \(words)' does not decode")
        }
    }
}

/// A terminal and the VM that it is in.
package struct TerminalPlace: Sendable {
    package let terminal: Terminal
    let environment: Environment
}
