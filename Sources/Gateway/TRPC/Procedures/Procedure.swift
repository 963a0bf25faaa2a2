import Fleet
import NIOCore

/// One procedure: its name, what it is, who may call it, and what answers.
///
///     .query("vm.getMyVm") { call in try await operations.userVM(call.caller) }
///     .mutation("vm.destroyVm", for: .admin, taking: VMReference.self) { call, input in … }
struct Procedure: Sendable {
    enum Kind: String { case query, mutation, subscription }
    enum Access { case user, admin }

    enum Action: Sendable {
        case query(@Sendable (ProcedureCall) async throws -> Outcome)
        case mutation(@Sendable (ProcedureCall) async throws -> Outcome)
        case subscription(@Sendable (ProcedureCall, any ValueSink) async throws -> Void)
    }

    let path: String  // "vm.getMyVm"
    let access: Access
    let readsInput: Bool
    let action: Action

    var kind: Kind {
        switch action {
        case .query: .query
        case .mutation: .mutation
        case .subscription: .subscription
        }
    }

    static func query<Output: Encodable & SendableMetatype>(
        _ path: String, for access: Access = .user,
        _ resolve: @escaping @Sendable (ProcedureCall) async throws -> Output
    ) -> Procedure {
        query(path, for: access, taking: NoInput.self) { call, _ in try await resolve(call) }
    }

    static func query<Input: ProcedureInput, Output: Encodable & SendableMetatype>(
        _ path: String, for access: Access = .user, taking: Input.Type,
        _ resolve: @escaping @Sendable (ProcedureCall, Input) async throws -> Output
    ) -> Procedure {
        Procedure(path: path, access: access, readsInput: Input.isRead, action: .query(encoding(resolve)))
    }

    static func mutation<Output: Encodable & SendableMetatype>(
        _ path: String, for access: Access = .user,
        _ resolve: @escaping @Sendable (ProcedureCall) async throws -> Output
    ) -> Procedure {
        mutation(path, for: access, taking: NoInput.self) { call, _ in try await resolve(call) }
    }

    static func mutation<Input: ProcedureInput, Output: Encodable & SendableMetatype>(
        _ path: String, for access: Access = .user, taking: Input.Type,
        _ resolve: @escaping @Sendable (ProcedureCall, Input) async throws -> Output
    ) -> Procedure {
        Procedure(path: path, access: access, readsInput: Input.isRead, action: .mutation(encoding(resolve)))
    }

    /// A mutation that writes its own JSON, or hands out values one by one where `ProcedureCall.sink` takes them.
    static func streamableMutation<Input: ProcedureInput>(
        _ path: String, taking: Input.Type,
        _ resolve: @escaping @Sendable (ProcedureCall, Input) async throws -> Outcome
    ) -> Procedure {
        Procedure(
            path: path, access: .user, readsInput: Input.isRead,
            action: .mutation { call in try await resolve(call, try call.input(Input.self)) })
    }

    static func subscription<Input: ProcedureInput>(
        _ path: String, taking: Input.Type,
        _ stream: @escaping @Sendable (ProcedureCall, Input, any ValueSink) async throws -> Void
    ) -> Procedure {
        Procedure(
            path: path, access: .user, readsInput: Input.isRead,
            action: .subscription { call, sink in try await stream(call, try call.input(Input.self), sink) })
    }

    private static func encoding<Input: ProcedureInput, Output: Encodable & SendableMetatype>(
        _ resolve: @escaping @Sendable (ProcedureCall, Input) async throws -> Output
    ) -> @Sendable (ProcedureCall) async throws -> Outcome {
        { call in
            let output = try await resolve(call, try call.input(Input.self))
            return Outcome(pieces: [ByteBuffer(bytes: try JSONView.encode(output))])
        }
    }
}

/// One call of a procedure.
struct ProcedureCall: Sendable {
    let caller: Caller
    let exchange: Exchange
    /// The JSON that was sent; `nil` for none; or why it could not be had.
    let input: Result<[UInt8]?, ServiceError>
    /// The position of a subscriber who was here before.
    var lastEventID: String?
    /// Where a mutation can hand out values one by one: on a JSON Lines stream.
    var sink: (any ValueSink)?

    var requestID: String { exchange.id }

    func input<Input: ProcedureInput>(_ type: Input.Type) throws(ServiceError) -> Input {
        try Input(type.isRead ? try input.get() : nil)
    }
}

/// What a procedure answered: JSON, in pieces that are written one after another.
struct Outcome: Sendable {
    var pieces: [ByteBuffer]
    /// Held until the answer is written.
    var share: BudgetShare?
}

/// Where values go that come one by one: the events of a subscription, the lines of a JSON Lines stream.
protocol ValueSink: Sendable {
    /// Called once, when it is certain that there is something to follow. `position` is what a client may come back
    /// with when it lost the connection; `isTracked`: values are handed over with their positions.
    func begin(at position: String, isTracked: Bool) async throws
    /// Returns when the kernel has taken them.
    func yield(_ values: [StreamedValue]) async throws
}

struct StreamedValue: Sendable {
    let json: ByteBuffer
    let position: String  // of a reader that has this value
}

/// What a procedure takes.
protocol ProcedureInput: Sendable {
    /// Whether there is anything to take; where not, what is sent is not read.
    static var isRead: Bool { get }
    /// `json` is `nil` when nothing was sent. Throws `malformed_json` or `invalid_request`, naming the field.
    init(_ json: [UInt8]?) throws(ServiceError)
}

extension ProcedureInput {
    static var isRead: Bool { true }
}

struct NoInput: ProcedureInput {
    static var isRead: Bool { false }
    init(_ json: [UInt8]?) {}
}

extension JSONReader {
    /// Reads the fields of an input that is an object, `null` or not there. A field nobody knows is for `read` to
    /// pass over with `any()`: tRPC servers do, and clients count on it.
    static func fields(
        of json: [UInt8]?, _ read: (inout JSONReader, String) throws(ServiceError) -> Void
    ) throws(ServiceError) {
        guard let json else { return }
        var reader = try JSONReader(json, of: "input")
        try reader.document { (reader: inout JSONReader) throws(ServiceError) in
            if try reader.null() { return }
            try reader.object(read)
        }
    }
}
