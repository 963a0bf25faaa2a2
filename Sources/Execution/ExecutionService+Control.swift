package import Fleet
import Foundation
import Synchronization

extension ExecutionService {
    /// Gives bytes to a running execution's stdin, and closes it if `end`. Returns once the runner has taken them:
    /// a program that does not read holds its writer up. Works from any gateway.
    ///
    /// Throws `execution_not_found`, `execution_not_running`, `execution_lost`.
    package func writeStdin(_ id: ExecutionID, _ bytes: [UInt8], end: Bool, caller: Caller) async throws {
        if !bytes.isEmpty || !end {
            try await send(.init(operation: .stdin, execution: id, user: caller.userID, bytes: Data(bytes)), caller)
        }
        if end { try await send(.init(operation: .end, execution: id, user: caller.userID), caller) }
    }

    /// Has a running execution killed; its stream then ends with reason `cancelled`. Works from any gateway, and
    /// also while the execution still waits for its VM. Throws as ``writeStdin(_:_:end:caller:)``.
    package func cancel(_ id: ExecutionID, caller: Caller) async throws {
        try await send(.init(operation: .cancel, execution: id, user: caller.userID), caller)
    }

    private func send(_ request: GatewayLink.Request, _ caller: Caller) async throws {
        if running.withLock({ $0[request.execution] }) != nil { return try await perform(request) }
        guard let record = try await fleet.executions.find(request.execution, owner: caller.userID) else {
            throw Self.notFound(request.execution)
        }
        guard record.summary.state == .running, record.summary.gatewayID != configuration.gatewayID else {
            throw Self.notRunning(request.execution)
        }
        try await link.send(request, to: record.summary.gatewayID)
    }

    /// Carries out a request for an execution that is served here.
    func perform(_ request: GatewayLink.Request) async throws {
        guard let run = running.withLock({ $0[request.execution] }) else { throw Self.notRunning(request.execution) }
        guard run.caller.userID == request.user else { throw Self.notFound(request.execution) }
        switch request.operation {
        case .stdin: try await run.input.write([UInt8](request.bytes ?? Data()))
        case .end: await run.input.close()
        case .cancel: run.cancel()
        }
    }

    private static func notFound(_ id: ExecutionID) -> ServiceError {
        ServiceError(
            .executionNotFound, "You have no execution \(id).", hint: "GET /v1/executions lists what you have run.")
    }

    private static func notRunning(_ id: ExecutionID) -> ServiceError {
        ServiceError(
            .executionNotRunning, "Execution \(id) has ended.", hint: "GET /v1/executions/\(id) says how.")
    }
}
