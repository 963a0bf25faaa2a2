import Execution
import Fleet

/// What the routes need of the rooms below, as functions: so much of Execution and Fleet, and no more. The live ones
/// are in `GatewayOperations+Live`; a test gives its own and drives the streams by hand.
struct GatewayOperations: Sendable {
    /// `nil` when the token is not good.
    var authenticate: @Sendable (_ token: String) async throws -> Caller?

    /// Throws before `body` when the request can never run; ends the run when `body` is left.
    var execute:
        @Sendable (
            _ request: ExecutionRequest, _ caller: Caller, _ requestID: String,
            _ body: @escaping @Sendable (ExecutionID, ExecutionEvents) async throws -> Void
        ) async throws -> Void
    var writeStdin: @Sendable (ExecutionID, _ bytes: [UInt8], _ end: Bool, Caller) async throws -> Void
    var cancel: @Sendable (ExecutionID, Caller) async throws -> Void
    var executions: @Sendable (Caller, _ limit: Int, _ before: ExecutionID?) async throws -> [ExecutionView]
    var execution: @Sendable (ExecutionID, Caller) async throws -> ExecutionView?
    var runtimes: @Sendable (Caller) async throws -> [RuntimeDescription]

    var vm: @Sendable (Caller) async throws -> VMView?
    var createVM:
        @Sendable (Caller, VMChoice, _ requestID: String, IdempotencyStore.Keeper<VMView>?) async throws -> VMView
    var startVM: @Sendable (Caller, _ requestID: String) async throws -> VMView
    var stopVM: @Sendable (Caller, _ requestID: String) async throws -> VMView
    var destroyVM: @Sendable (Caller, _ requestID: String) async throws -> VMView
    var catalog: ProviderCatalog
    var trpc: TRPCOperations
    var provisionLog: @Sendable (Caller) async throws -> [LogLineView]
    /// Calls `line` with what there is and then with each line as it is written, until cancelled.
    var followProvisionLog:
        @Sendable (Caller, _ line: @escaping @Sendable (LogLineView) async throws -> Void) async throws -> Void

    var tokens: @Sendable (Caller) async throws -> [TokenView]
    var createToken:
        @Sendable (Caller, NewToken, _ requestID: String, IdempotencyStore.Keeper<TokenView>?) async throws -> TokenView
    var revokeToken: @Sendable (TokenID, Caller, _ requestID: String) async throws -> Void

    /// Lends the files of an environment, or of the caller's own VM, waking it.
    var files:
        @Sendable (
            Caller, _ environment: String?, _ requestID: String,
            _ body: @escaping @Sendable (HomeFiles) async throws -> Void
        ) async throws -> Void = { _, _, _, _ in
            throw ServiceError(.serviceUnavailable, "No files are served here.", hint: "Ask another gateway.")
        }

    var ssh = SSHOperations.none
    var terminals = TerminalOperations.none
    var environments: EnvironmentOperations
    /// What admins see and handle: all of it, whence no list of functions. `nil`: nothing.
    var administered: Fleet?

    /// Of browsers. `nil`: there are none, and no pages.
    var sessions: SessionOperations?

    /// `nil`: requests are not counted.
    var rate: RateGate?

    /// What is not reachable, by name and why; empty when all is well.
    var unreachable: @Sendable () async -> [String: String]
}
