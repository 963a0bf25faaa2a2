import Execution
import Fleet

/// What the routes of terminals need of the room below.
struct TerminalOperations: Sendable {
    var list: @Sendable (Caller, _ environment: String?, _ requestID: String) async throws -> [Terminal]
    /// Wakes the VM; `report` is told what takes time.
    var make:
        @Sendable (
            Caller, _ environment: String?, TerminalRequest, _ requestID: String,
            _ report: @escaping @Sendable (String) async throws -> Void
        ) async throws -> TerminalPlace
    var find: @Sendable (Caller, _ environment: String?, TerminalID, _ requestID: String) async throws -> TerminalPlace
    var end: @Sendable (Caller, _ environment: String?, TerminalID, _ requestID: String) async throws -> Void
    var use:
        @Sendable (
            TerminalPlace, TerminalSize, _ window: Int?,
            _ body: @escaping @Sendable (TerminalConnection) async throws -> Void
        ) async throws -> Void

    static func live(_ execution: ExecutionService) -> TerminalOperations {
        TerminalOperations(
            list: { caller, environment, requestID in
                try await execution.terminals(of: environment, caller: caller, requestID: requestID)
            },
            make: { caller, environment, request, requestID, report in
                try await execution.makeTerminal(
                    request, of: environment, caller: caller, requestID: requestID, report: report)
            },
            find: { caller, environment, id, requestID in
                try await execution.terminal(id, of: environment, caller: caller, requestID: requestID)
            },
            end: { caller, environment, id, requestID in
                try await execution.endTerminal(id, of: environment, caller: caller, requestID: requestID)
            },
            use: { place, size, window, body in
                try await execution.withTerminal(place, size: size, window: window, body)
            })
    }

    static var none: TerminalOperations {
        let error = ServiceError(.serviceUnavailable, "No terminals are served here.", hint: "Ask another gateway.")
        return TerminalOperations(
            list: { _, _, _ in throw error }, make: { _, _, _, _, _ in throw error },
            find: { _, _, _, _ in throw error }, end: { _, _, _, _ in throw error }, use: { _, _, _, _ in throw error })
    }
}
