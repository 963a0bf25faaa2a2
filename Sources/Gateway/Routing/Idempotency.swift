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
        guard let key = exchange.head.headerFields[.idempotencyKey], let store else {
            return try await exchange.respond(status, json: try await make())
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
                answer = try JSONView.encode(try await make()) + [UInt8(ascii: "\n")]
            } catch {
                // Also for a caller who has left: else the key is held for a minute.
                await Task { [logger = exchange.logger] in
                    do { try await store.abandon(claim) } catch {
                        logger.warning("idempotency key not given up", metadata: ["error": "\(error)"])
                    }
                }.value
                throw error
            }
            await Task { [logger = exchange.logger] in
                do { try await store.complete(claim, status: status.code, body: answer) } catch {
                    logger.warning("answer not kept for its idempotency key", metadata: ["error": "\(error)"])
                }
            }.value
            try await exchange.respond(
                status, headers: [.contentType: "application/json"], body: ByteBuffer(bytes: answer))
        }
    }
}
