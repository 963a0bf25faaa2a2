import EventLoop
import Fleet
import Foundation
import SSH
import Synchronization

extension ExecutionService {
    /// Has the runner of a running VM run the program. Throws ``VMUnreachable`` while it has not started,
    /// `execution_lost` afterwards, and what the runner refuses.
    func converse(_ run: Run, in environment: Environment) async throws -> ExitReport {
        let shared = try await shared(in: environment)
        do {
            let tell = { @Sendable in
                try await run.events.send(.status(.connecting, message: "Installing what runs code in the VM."))
            }
            return try await withRunner(of: environment, onInstalling: tell) { session in
                let runner = try await self.begin(run, in: environment, shared: shared, by: session)
                defer { runner.abandon() }
                return try await self.exchange(run, environment.network, with: runner)
            }
        } catch let error as VMUnreachable where run.hasStarted {
            throw ServiceError(
                .executionLost, "The connection to VM '\(environment.slug)' was lost while the program ran.",
                hint: "Whether it finished is not known. Look before you run it again.", cause: error.cause)
        }
    }

    private func shared(in environment: Environment) async throws -> [String: String] {
        let fleet = fleet
        return try await variables.variables(of: environment) { try await fleet.environments.variables(of: $0) }
    }

    private func begin(
        _ run: Run, in environment: Environment, shared: [String: String], by session: VMSession
    ) async throws -> RunnerConnection {
        let request = Self.request(
            for: run, in: environment, shared: shared, secret: session.connection.runnerSecret)
        let input = run.request.stdin.flatMap { $0.count <= RunnerConnection.firstInput ? $0 : nil }
        await run.input.begin(isEnded: input != nil)
        let runner = try await RunnerConnection.open(
            request, input: input, port: session.connection.runnerPort, on: session.ssh)
        // While the request is on its way. No handle of the task is held: what it used is given back when it has ended,
        // and not with the run.
        _ = Task(executorPreference: EventLoop.current?.tasks) {
            run.begun.resume(with: .success(await self.recordBeginning(of: run)))
            run.recorded.resume(with: .success(()))
            await self.fleet.environments.touchActivity(run.environment.id)
        }
        return runner
    }

    /// Lends a session as ``withSession(to:_:)`` does. Where the runner's port refuses, it is installed if the VM is one to
    /// install it in, and `body` called once more.
    func withRunner<Result>(
        of environment: Environment, onInstalling: @Sendable () async throws -> Void = {},
        _ body: (VMSession) async throws -> Result
    ) async throws -> Result {
        try await withSession(to: environment) { session in
            try await RunnerInstaller.with(installer, in: environment, by: session, onInstalling: onInstalling, body)
        }
    }

    private func exchange(
        _ run: Run, _ mayHaveNetwork: Bool, with runner: RunnerConnection
    ) async throws -> ExitReport {
        if let stdin = run.request.stdin, stdin.count > RunnerConnection.firstInput {
            // Written by a child task below as the runner gives credit; closed behind it.
            return try await exchange(run, mayHaveNetwork, with: runner) {
                try await run.input.write(stdin)
                await run.input.close()
            }
        }
        return try await exchange(run, mayHaveNetwork, with: runner) {}
    }

    private func exchange(
        _ run: Run, _ mayHaveNetwork: Bool, with runner: RunnerConnection,
        feeding feed: @escaping @Sendable () async throws -> Void
    ) async throws -> ExitReport {
        try await withThrowingTaskGroup(of: ExitReport?.self) { group in
            group.addTask {
                // The program may end without reading what it is given: only the receiving side decides the fate.
                do { try await feed() } catch is ServiceError {}
                return nil
            }
            group.addTask {
                do { try await runner.send(run.input) } catch is SSHError {}
                return nil
            }
            group.addTask { try await self.receive(run, from: runner, mayHaveNetwork) }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    private func receive(
        _ run: Run, from runner: RunnerConnection, _ mayHaveNetwork: Bool
    ) async throws -> ExitReport {
        var report: ExitReport?
        try await runner.receive { messages in
            var events: [ExecutionEvent] = []
            for message in messages {
                switch message {
                case .started(let network):
                    guard run.start() else {
                        throw RunnerProtocolError(description: "the runner started the program twice")
                    }
                    try await run.recorded.value()
                    let isLess = network == .isolated && mayHaveNetwork && run.request.network == nil
                    events.append(.started(run.id, RunNetwork(network, notice: isLess ? Self.noNetwork : nil)))
                case .output(let stream, let bytes):
                    guard !bytes.isEmpty else { continue }
                    run.output.withLock { $0.add(bytes, to: stream) }
                    events.append(.output(stream, bytes))
                case .stdinCredit(let bytes):
                    await run.input.addCredit(bytes)
                case .exit(let exit):
                    report = exit
                    keepSoon(exit, of: run)
                case .refused(let code, let message):
                    throw Self.refusal(code: code, message: message, run: run)
                }
            }
            if !events.isEmpty { try await run.events.send(events) }
        }
        guard let report else { throw RunnerProtocolError(description: "the runner said nothing of the end") }
        return report
    }

    /// Of a run that would have had it: what its machine was started without, or its provider never has.
    private static let noNetwork = """
        This VM was started without a way to the internet, so the run has no network. Stop and start it if that has \
        changed; 'martlet doctor' on its machine says what is missing.
        """

    /// `shared` is what the environment gives to all that runs in it; what the call itself says goes before it.
    private static func request(
        for run: Run, in environment: Environment, shared: [String: String], secret: String
    ) -> RunnerConnection.Request {
        let code = String(validating: run.request.code, as: UTF8.self)
        return RunnerConnection.Request(
            secret: secret, id: run.id.description, language: run.runtime.name,
            code: code ?? Data(run.request.code).base64EncodedString(), codeEncoding: code == nil ? "base64" : "utf8",
            args: run.request.arguments,
            env: shared.merging(run.request.environmentVariables) { _, own in own },
            files: run.request.files.map {
                RunnerConnection.Request.File(path: $0.path, content: Data($0.content).base64EncodedString())
            },
            timeoutMs: run.limits.timeoutMs,
            limits: RunnerConnection.Request.Limits(
                memoryMb: run.limits.memoryMb, cpuMs: run.limits.cpuMs, outputBytes: run.limits.outputBytes,
                processes: run.limits.processes),
            network: network(of: run.request, in: environment))
    }

    private static func network(
        of request: ExecutionRequest, in environment: Environment
    ) -> RunnerConnection.Request.Network? {
        guard environment.network else { return nil }
        return switch request.network {
        case .isolated: nil
        case .egress: .egress
        case nil: .any
        }
    }

    private static func refusal(code: String, message: String, run: Run) -> ServiceError {
        switch code {
        case "runtime_unavailable", "unknown_language":
            ServiceError(
                .runtimeUnavailable, "The VM has no \(run.runtime.title): \(message)",
                hint: "Choose another language; GET /v1/runtimes lists those that are available.")
        case "bad_request":
            ServiceError(.invalidRequest, "The VM refused the request: \(message)", hint: "Change it and try again.")
        case "no_network":
            ServiceError(
                .networkUnavailable, "The run was not begun, for it asks for the network: \(message)",
                hint: "Leave 'network' out to run without. An admin sees by 'martlet doctor' what is missing.")
        case "too_busy":
            ServiceError(.tooManyExecutions, "The VM runs as much as it can: \(message)", hint: "Try again shortly.")
        default:
            ServiceError(
                .vmUnreachable, "The VM's runner refused the run (\(code)): \(message)",
                hint: "Stop and start the VM; tell an admin the request id if it stays.")
        }
    }
}
