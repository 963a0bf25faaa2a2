import EventLoop
import Execution
import Fleet
import NIOCore
import Synchronization

/// `vm.executeCode` and `vm.executeCodeStream`.
///
/// A program that ran to an end is a result, whatever its exit code. One that ran too long or printed too much is an
/// error, and so is one that was never admitted. VMs in a state in which nothing runs are told as the first
/// implementation told them: as exit code 1 with a text in `stderr`, and as an event `error`.
///
/// Leaving a subscription kills its run. A subscriber who comes back is told how that run ended
/// (``resume(at:_:_:)``): nothing is run a second time.
struct RunProcedures: Sendable {
    let operations: GatewayOperations
    let configuration: GatewayConfiguration
    let budget: BufferBudget

    var all: [Procedure] {
        [
            .streamableMutation("vm.executeCode", taking: RunInput.self) { call, input in
                if input.isStreamed, let sink = call.sink { return try await iterate(input, call, sink) }
                return try await execute(input, call)
            },
            .subscription("vm.executeCodeStream", taking: RunInput.self) { call, input, sink in
                if let position = call.lastEventID ?? input.lastEventID {
                    try await resume(at: position, input, call, sink)
                } else {
                    try await subscribe(input, call, sink)
                }
            },
        ]
    }

    // MARK: One result

    private func execute(_ input: RunInput, _ call: ProcedureCall) async throws -> Outcome {
        var request = input.request
        try ExecutionRoutes.checkOutputLimit(of: request, fits: configuration.bufferedOutputLimit)
        request.stdin = request.stdin ?? []  // nobody learns the id in time to send any
        let outcome = Mutex<Outcome?>(nil)
        do {
            try await call.exchange.whileClientListens { [request, operations, budget] in
                try await operations.execute(request, call.caller, call.requestID) { id, events in
                    var output = BufferedRun(id: id, budget: budget)
                    while let batch = try await events.nextBatch() {
                        for event in batch {
                            if let result = try output.add(event) { outcome.withLock { $0 = result } }
                        }
                    }
                }
            }
        } catch let error as ServiceError where error.saysNothingRuns {
            return BufferedRun.notRun(because: error)
        }
        guard let outcome = outcome.withLock({ $0 }) else { throw ServiceError.ended }
        return outcome
    }

    // MARK: Value by value

    private enum Ending {
        case exit(ExitReport, after: RunPosition)
        case error(ServiceError, after: RunPosition?)
    }

    /// The values as they are printed and the exit as the return value of the iterable.
    private func iterate(_ input: RunInput, _ call: ProcedureCall, _ sink: any ValueSink) async throws -> Outcome {
        switch try await stream(input, call, sink) {
        case .exit(let report, _):
            if let fault = report.fault { throw fault }
            var json = ByteBuffer(string: "{")
            json.writeFields(of: report.withExitCode)
            json.writeStaticString("}")
            return Outcome(pieces: [json])
        case .error(let error, _): throw error
        }
    }

    private func subscribe(_ input: RunInput, _ call: ProcedureCall, _ sink: any ValueSink) async throws {
        let ending: Ending
        do {
            ending = try await stream(input, call, sink)
        } catch let error as ServiceError where error.saysNothingRuns {
            try await sink.begin(at: RunPosition.nowhere, isTracked: input.isTracked)
            ending = .error(error, after: nil)
        }
        switch ending {
        case .exit(let report, let position):
            if let fault = report.fault { throw fault }
            try await sink.yield([.exit(report, after: position)])
        case .error(let error, let position):
            try await sink.yield([.error(error, after: position)])
        }
    }

    private func stream(_ input: RunInput, _ call: ProcedureCall, _ sink: any ValueSink) async throws -> Ending {
        let ending = Mutex<Ending?>(nil)
        try await operations.execute(input.request, call.caller, call.requestID) { id, events in
            var writer = OutputWriter(at: RunPosition(execution: id))
            try await sink.begin(at: writer.position.description, isTracked: input.isTracked)
            while let batch = try await events.nextBatch() {
                var values: [StreamedValue] = []
                for event in batch {
                    switch event {
                    case .status, .started, .keepalive: continue
                    case .output(let stream, let bytes):
                        if let value = writer.write(bytes, of: stream) { values.append(value) }
                    case .exit(let report):
                        values += writer.flush()
                        ending.withLock { [position = writer.position] in $0 = .exit(report, after: position) }
                    case .error(let error):
                        values += writer.flush()
                        ending.withLock { [position = writer.position] in $0 = .error(error, after: position) }
                    }
                }
                if !values.isEmpty { try await sink.yield(values) }
            }
        }
        guard let ending = ending.withLock({ $0 }) else { throw ServiceError.ended }
        return ending
    }

    // MARK: Coming back

    /// How long a run that was left may take to be over.
    private static let endOfRun = Duration.seconds(5)

    /// The rest of what the history has of a run after `text`, and how it ended. Throws `execution_not_found`.
    private func resume(
        at text: String, _ input: RunInput, _ call: ProcedureCall, _ sink: any ValueSink
    ) async throws {
        guard let position = RunPosition(text), let run = try await ended(position.execution, call) else {
            throw ServiceError(
                .executionNotFound, "You have no execution that left off at '\(text.prefix(64))'; nothing was run.",
                hint: "Subscribe without 'lastEventId' to run the code.")
        }
        try await sink.begin(at: text, isTracked: input.isTracked)
        if position.isEnd { return }
        var writer = OutputWriter(at: position)
        var values: [StreamedValue] = []
        var missing = 0
        for (stream, kept, count, seen) in [
            (ExecutionEvent.Stream.stdout, run.stdout?.bytes, run.stdoutBytes, position.stdoutBytes),
            (.stderr, run.stderr?.bytes, run.stderrBytes, position.stderrBytes),
        ] {
            let rest = (kept ?? []).dropFirst(seen)
            if let value = writer.write(Array(rest), of: stream) { values.append(value) }
            missing += max(0, (count ?? 0) - seen - rest.count)
        }
        values += writer.flush()
        if missing == 0, let fault = run.report?.fault {
            if !values.isEmpty { try await sink.yield(values) }
            throw fault
        }
        values.append(.ending(of: run, missing: missing, after: writer.position))
        try await sink.yield(values)
    }

    /// The execution once it is over: its subscriber is here, so the connection it was run for is gone.
    private func ended(_ id: ExecutionID, _ call: ProcedureCall) async throws -> ExecutionView? {
        guard let run = try await operations.execution(id, call.caller) else { return nil }
        if !run.isRunning { return run }
        do {
            try await operations.cancel(id, call.caller)
        } catch let error as ServiceError where error.code == .executionNotRunning {
            // It has ended meanwhile.
        }
        do {
            return try await withDeadline(Self.endOfRun, "the end of execution \(id)") { [operations] in
                while true {
                    let run = try await operations.execution(id, call.caller)
                    if run?.isRunning != true { return run }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
        } catch let error as DeadlineExceeded {
            throw ServiceError(
                .serviceUnavailable, "Execution \(id) was stopped and has not ended yet; nothing was run again.",
                hint: "Ask again in a moment.", cause: error)
        }
    }
}

extension ServiceError {
    /// Whether it is about a VM whose state lets nothing run until somebody acts.
    fileprivate var saysNothingRuns: Bool { code == .vmFailed || code == .vmDestroyed }
}

extension ExecutionView {
    fileprivate var isRunning: Bool { state == ExecutionState.running.rawValue }
}
