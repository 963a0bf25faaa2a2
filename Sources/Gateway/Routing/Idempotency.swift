import Fleet
import HTTPTypes
import Logging
import NIOCore

extension HTTPField.Name {
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
    static let idempotencyReplayed = HTTPField.Name("Idempotency-Replayed")!
}

/// Answers a creating call once, however often it is sent with the same `Idempotency-Key` (draft-ietf-httpapi-
/// idempotency-key-header). A refusal is not kept: what it complained of may be mended.
struct Idempotency: Sendable {
    let store: IdempotencyStore?

    static let parameter = RouteDescription.Parameter.header(
        "Idempotency-Key", "The same for every try of one call: it is then done once, and answered alike for 24 h.",
        Schema.string("", length: 1...255, pattern: "^[!-~]+$"))
    static let errors: [ServiceError.Code] = [.idempotencyConflict, .idempotencyMismatch]

    /// `make` does what is asked and returns the answer. Throws `idempotency_conflict` while an earlier try is under
    /// way, and `idempotency_mismatch` where the key was sent with another request.
    func answer(
        _ exchange: Exchange, _ caller: Caller, _ status: HTTPResponse.Status, body: [UInt8],
        _ make: () async throws -> some Encodable
    ) async throws {
        try await answer(exchange, caller, status, body) { claim, store in
            let answer = try Self.encoded(try await make())
            await Task { [logger = exchange.logger] in  // also for a caller who has left
                do { try await store.complete(claim, status: status.code, body: answer) } catch {
                    logger.warning("answer not kept for its idempotency key", metadata: ["error": "\(error)"])
                }
            }.value
            return answer
        } otherwise: {
            try Self.encoded(try await make())
        }
    }

    /// The same for what is made in one transaction, where `make` has the keeper keep what `shown` makes of it.
    func answer<Made: Sendable, View: Encodable & SendableMetatype>(
        _ exchange: Exchange, _ caller: Caller, _ status: HTTPResponse.Status, body: [UInt8],
        shown: @escaping @Sendable (Made) -> View,
        _ make: (IdempotencyStore.Keeper<Made>?) async throws -> Made
    ) async throws {
        try await answer(exchange, caller, status, body) { claim, store in
            let keeper = store.keeper(for: claim, status: status.code) { try Self.encoded(shown($0)) }
            return try Self.encoded(shown(try await make(keeper)))
        } otherwise: {
            try Self.encoded(shown(try await make(nil)))
        }
    }

    private static func encoded(_ answer: some Encodable) throws -> [UInt8] {
        try JSONView.encode(answer) + [UInt8(ascii: "\n")]
    }

    /// - Parameter make: makes and keeps the answer; `otherwise` makes it where there is no key to keep it by.
    private func answer(
        _ exchange: Exchange, _ caller: Caller, _ status: HTTPResponse.Status, _ body: [UInt8],
        _ make: (IdempotencyStore.Claim, IdempotencyStore) async throws -> [UInt8],
        otherwise: () async throws -> [UInt8]
    ) async throws {
        let json: HTTPFields = [.contentType: "application/json"]
        guard let key = exchange.head.headerFields[.idempotencyKey], let store else {
            return try await exchange.respond(status, headers: json, body: ByteBuffer(bytes: try await otherwise()))
        }
        let line = "\(exchange.head.method.rawValue) \(exchange.target.path)\n"
        switch try await store.begin(caller.userID, key: key, fingerprint: Array(line.utf8) + body) {
        case .replay(let status, _, let body):
            try await exchange.respond(
                HTTPResponse.Status(code: status),
                headers: [.contentType: "application/json", .idempotencyReplayed: "true"], body: ByteBuffer(bytes: body)
            )
        case .inProgress:
            throw ServiceError(
                .idempotencyConflict, "Another request with this Idempotency-Key is being carried out.",
                hint: "Send it again in a moment: it is then answered alike.")
        case .mismatch:
            throw ServiceError(
                .idempotencyMismatch, "This Idempotency-Key was sent with another request.",
                hint: "Use a new key for a new request.")
        case .proceed(let claim):
            let answer: [UInt8]
            do {
                answer = try await make(claim, store)
            } catch {
                // Also for a caller who has left: else the key is held for a minute.
                await Task { [logger = exchange.logger] in
                    do { try await store.abandon(claim) } catch {
                        logger.warning("idempotency key not given up", metadata: ["error": "\(error)"])
                    }
                }.value
                throw error
            }
            try await exchange.respond(status, headers: json, body: ByteBuffer(bytes: answer))
        }
    }
}
